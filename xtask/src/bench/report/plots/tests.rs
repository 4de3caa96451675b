use super::*;

fn bar(engine: &str, place: usize, median: f64) -> Bar {
    Bar { engine: engine.into(), place, median, min: median * 0.9, max: median * 1.1 }
}

/// The right end of each bar, in pixels.
fn ends(svg: &str) -> Vec<f64> {
    let number = |line: &str, name: &str| -> f64 {
        let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    let bars = svg.lines().filter(|line| line.starts_with("<rect") && line.contains("height=\"18\""));
    bars.map(|line| number(line, "x") + number(line, "width")).collect()
}

/// Bars that are not as long as their figures lie more than any number.
#[test]
fn bars_are_as_long_as_their_figures() {
    let svg = bars("title", &[bar("a", 0, 100.0), bar("b", 1, 50.0)]).unwrap();
    let ends = ends(&svg);
    let (first, second) = (ends[0] - LEFT, ends[1] - LEFT);
    assert!((first / second - 2.0).abs() < 0.02, "{ends:?}");
    for word in ["title", ">\na\n<", ">\nb\n<", ">\n100\n<", ">\n50.0\n<"] {
        assert!(svg.contains(word), "{word:?} is not in {svg}");
    }
    assert!(!svg.contains("logarithmic"));
}

#[test]
fn far_figures_are_drawn_logarithmically_and_it_is_said() {
    let svg = bars("title", &[bar("a", 0, 1_000.0), bar("b", 1, 1.0)]).unwrap();
    assert!(svg.contains("title (logarithmic)"), "{svg}");
    assert!(ends(&svg)[1] > LEFT + 20.0, "the short bar can be seen");
}

#[test]
fn lines_have_their_engines_and_colours() {
    let line =
        |engine: &str, place, points: &[(f64, f64)]| Line { engine: engine.into(), place, points: points.into() };
    let lines = [line("a", 0, &[(1_000.0, 0.5), (2_000.0, 1.0)]), line("b", 1, &[(3_000.0, 1.0)])];
    let svg = distribution("title", &lines).unwrap();
    for word in ["title", ">\na\n<", ">\nb\n<", "#0072B2", "#D55E00", "1.00 us", "50 %"] {
        assert!(svg.contains(word), "{word:?} is not in {svg}");
    }
    let lines = [line("a", 0, &[(1.0, 1e6), (10.0, 1e7), (100.0, 1e8)])];
    let svg = growth("title", "sections", &lines).unwrap();
    for word in ["title", "sections", ">\na\n<", "10.0 ms", ">\n100\n<"] {
        assert!(svg.contains(word), "{word:?} is not in {svg}");
    }
}

/// A figure of 0 has no logarithm, and an axis without range would never end.
#[test]
fn what_cannot_be_drawn_is_left_out() {
    assert_eq!(bars("title", &[]), None);
    assert_eq!(bars("title", &[bar("a", 0, 0.0)]), None);
    let none = Line { engine: "a".into(), place: 0, points: Vec::new() };
    assert_eq!(distribution("title", std::slice::from_ref(&none)), None);
    let zero = Line { points: vec![(1.0, 0.0), (10.0, 5.0)], ..none };
    assert_eq!(growth("title", "axis", &[zero]), None);
}
