use super::*;

/// A curve in which anything but the named size changes shows the growth of something else.
#[test]
fn only_the_named_size_grows() {
    for curve in curves(Scale::Full) {
        let sizes: Vec<_> = curve.points.iter().map(|(size, _)| *size).collect();
        assert_eq!(sizes, STEPS.map(|step| sizes[0] * step), "{}", curve.id);
        for (size, Workload { shape, action, operations, .. }) in curve.points {
            let of_axis = match curve.axis {
                "sections" => shape.sections,
                "items per section" => shape.items,
                "bytes per value" => shape.value_bytes,
                "writers" => match action {
                    Action::Writers(count) => {
                        assert_eq!(operations % count, 0);
                        count
                    }
                    other => panic!("{other:?} has no writers"),
                },
                other => panic!("no such axis: {other}"),
            };
            assert_eq!(of_axis, size, "{}", curve.id);
        }
    }
}
