//! Reading is linear, whatever comes.

use super::read;

#[test]
fn each_octet_is_looked_at_a_few_times_at_most() {
    let pieces = [
        "<",
        "<a ",
        "<a",
        "<!--",
        "<!-",
        "</",
        "</a",
        "<script><!--<script>",
        "<svg>",
        "<svg><title>",
        "<a b='",
        "<a b=\"' ",
        "<a b=",
        "<style></styl",
        "<script></scrip",
        "<script><!-",
        "<title></",
        "<svg><![CDATA[]",
        "<![CDATA",
        "<!-- --",
        "<!",
        "<?",
        "=",
        "'",
        "-",
        "<svg><font ",
        "<math><annotation-xml ",
    ];
    for piece in pieces {
        let page = piece.repeat((1 << 20) / piece.len());
        for size in [page.len(), 64 * 1024, 100] {
            let (_, looked) = read(page.as_bytes(), size);
            assert!(looked <= 3 * page.len(), "{piece} in {size}: {looked}");
        }
        // In the worst case, what may become a tag is looked at again with every octet.
        let page = &page.as_bytes()[..1 << 17];
        let (_, looked) = read(page, 1);
        assert!(looked <= 12 * page.len(), "{piece}: {looked}");
    }
}

#[test]
fn what_follows_the_beginning_of_a_raw_text_is_looked_at_once() {
    for begin in [
        "<plaintext>",
        "<script>",
        "<style>",
        "<!--",
        "<svg><![CDATA[",
        "<!x",
        "<a b='",
    ] {
        for piece in ["<", "-", "]", "</", "<s", "'", "x"] {
            let page = begin.to_owned() + &piece.repeat((1 << 20) / piece.len());
            for size in [page.len(), 1000] {
                let (_, looked) = read(page.as_bytes(), size);
                assert!(
                    looked <= 3 * page.len(),
                    "{begin}{piece} in {size}: {looked}"
                );
            }
        }
    }
}

#[test]
fn depth_takes_no_memory() {
    let page = "<svg><desc>".repeat(1 << 16);
    let mut tags = super::Tags::new(super::LIMIT);
    tags.read(page.as_bytes(), &mut super::Told::default());
    assert!(tags.namespaces.depth() <= 128);
}
