use std::time::Duration;

use super::*;

/// Estimates of a bench that is long gone lie in the same folder; a report that shows them as today's lies.
#[test]
fn only_what_the_last_run_found_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |path: &str, id: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("benchmark.json"), format!("{{\"full_id\":\"{id}\",\"group_id\":\"g\"}}")).unwrap();
        let interval = "{\"confidence_level\":0.95,\"lower_bound\":1.5,\"upper_bound\":2.5}";
        let median = format!("{{\"median\":{{\"confidence_interval\":{interval},\"point_estimate\":2.0}}}}");
        fs::write(path.join("estimates.json"), median).unwrap();
    };
    bench("g/a/new", "g/a");
    bench("g/a/base", "g/a before");
    let old = SystemTime::now() - Duration::from_secs(3_600);
    let mut found = Vec::new();
    collect(folder.path(), old, &mut found).unwrap();
    assert_eq!(found, [Estimate { id: "g/a".into(), median_ns: 2.0, low_ns: 1.5, high_ns: 2.5 }]);

    found.clear();
    collect(folder.path(), SystemTime::now() + Duration::from_secs(3_600), &mut found).unwrap();
    assert_eq!(found, []);
    collect(&folder.path().join("missing"), old, &mut found).unwrap();
    assert_eq!(found, []);
}
