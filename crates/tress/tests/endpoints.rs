//! The guide's page on endpoints lists every kind that a reactor knows, as it is written.

#[test]
fn the_guide_lists_every_kind_of_endpoint_as_it_is_written() {
    let page = include_str!("../guide/endpoints.md").replace("\\|", "|");
    let reactor = tress::reactor().expect("the system has room for one");
    for side in [tress::endpoint::Side::Server, tress::endpoint::Side::Client] {
        for (_, usage) in reactor.endpoint_kinds(side) {
            assert!(
                page.contains(&format!("| `{usage}` |")),
                "no {usage} in the table"
            );
        }
    }
}
