//! A label follows from an observation and from nothing else: programs that try another way do not compile.

#[test]
fn the_promoting_programs_do_not_compile() {
    trybuild::TestCases::new().compile_fail("programs/*.rs");
}
