use super::*;

#[test]
fn only_a_target_with_a_system_that_is_not_unix_suits() {
    assert!(suits("panic=\"unwind\"\ntarget_os=\"windows\"\nwindows"));
    assert!(suits("target_family=\"wasm\"\ntarget_os=\"wasi\""));
    assert!(!suits("target_os=\"linux\"\nunix"));
    assert!(!suits("target_family=\"wasm\"\ntarget_os=\"unknown\""));
    assert!(!suits("target_os=\"none\""));
    assert!(!suits(""));
}
