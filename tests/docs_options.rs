//! The README's table of options is the allocator's own.

use cidalloc::options::TABLE;
use std::path::Path;

#[test]
fn readme_has_the_table_of_options() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is text");
    let mut table =
        String::from("| option | default | values | meaning |\n| --- | --- | --- | --- |\n");
    for option in TABLE {
        let (name, default, values, help) =
            (option.name, option.default, option.values, option.help);
        table += &format!("| `{name}` | {default} | {values} | {help} |\n");
    }
    assert!(
        readme.contains(&format!("\n\n{table}\n")),
        "the README's table of options should be\n\n{table}"
    );
}
