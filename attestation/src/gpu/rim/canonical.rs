//! Canonical XML 1.1 of a tree from [`super::xml`] (W3C Recommendation 2 May 2008, §2.3), without comments.
//!
//! Decides: the bytes a signature is over. Characters need no work: the reader takes them only as this form writes them.
//! What is left is the order of declarations and attributes, and start and end tags for empty elements.

use std::cmp::Ordering;

use super::xml::{Attribute, Element, Node};

/// The canonical form of `element`, in whose scope `inherited` was declared outside of it. `without` leaves out one
/// element directly inside, as the enveloped-signature transform does (XMLDSig §6.6.4).
pub(crate) fn canonicalise(
    element: &Element<'_>,
    inherited: &[(&str, &str)],
    without: Option<&Element<'_>>,
) -> Vec<u8> {
    let mut out = String::with_capacity(CAPACITY);
    write_start(element, inherited, &mut out);
    for node in &element.children {
        match node {
            Node::Element(child) if without.is_some_and(|left_out| std::ptr::eq(left_out, child)) => {}
            _ => write_node(node, &mut out),
        }
    }
    write_end(element, &mut out);
    out.into_bytes()
}

/// Enough for most manifests.
const CAPACITY: usize = 24 * 1024;

fn write_node(node: &Node<'_>, out: &mut String) {
    match node {
        Node::Text(text) => out.push_str(text),
        Node::Element(element) => {
            write_start(element, &[], out);
            for child in &element.children {
                write_node(child, out);
            }
            write_end(element, out);
        }
    }
}

/// Declarations by prefix, then attributes by namespace and local name.
fn write_start(element: &Element<'_>, inherited: &[(&str, &str)], out: &mut String) {
    out.push('<');
    out.push_str(element.name);
    let mut declarations: Vec<&(&str, &str)> = inherited.iter().chain(&element.declarations).collect();
    declarations.sort_unstable();
    for (prefix, uri) in declarations {
        out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        out.push_str(prefix);
        write_value(uri, out);
    }
    let mut attributes: Vec<&Attribute<'_>> = element.attributes.iter().collect();
    attributes.sort_unstable_by(|one, other| {
        // Most have no namespace, and the others share one declaration: no need to compare its characters.
        let same = one.uri.is_empty() && other.uri.is_empty() || std::ptr::eq(one.uri, other.uri);
        let by_uri = if same { Ordering::Equal } else { one.uri.cmp(other.uri) };
        by_uri.then_with(|| one.local.cmp(other.local))
    });
    for attribute in attributes {
        out.push(' ');
        out.push_str(attribute.name);
        write_value(attribute.value, out);
    }
    out.push('>');
}

fn write_value(value: &str, out: &mut String) {
    out.push_str("=\"");
    out.push_str(value);
    out.push('"');
}

fn write_end(element: &Element<'_>, out: &mut String) {
    out.push_str("</");
    out.push_str(element.name);
    out.push('>');
}

#[cfg(test)]
mod tests {
    use super::super::xml::parse;
    use super::*;

    #[test]
    fn declarations_and_attributes_are_sorted_and_empty_elements_spelled_out() {
        let text = "<p:a c=\"3\" xmlns:p=\"urn:p\" p:b=\"2\" b=\"1\" xmlns=\"urn:d\" xmlns:a=\"urn:a\" a:z=\"0\"><b/>t<c/></p:a>";
        let root = parse(text.as_bytes()).unwrap();
        let whole = String::from_utf8(canonicalise(&root, &[], None)).unwrap();
        let head = "<p:a xmlns=\"urn:d\" xmlns:a=\"urn:a\" xmlns:p=\"urn:p\" b=\"1\" c=\"3\" a:z=\"0\" p:b=\"2\">";
        assert_eq!(whole, format!("{head}<b></b>t<c></c></p:a>"));

        let last = root.elements().last();
        assert_eq!(canonicalise(&root, &[], last), format!("{head}<b></b>t</p:a>").into_bytes());
        let inner = root.elements().next().unwrap();
        assert_eq!(
            canonicalise(inner, &root.declarations, None),
            b"<b xmlns=\"urn:d\" xmlns:a=\"urn:a\" xmlns:p=\"urn:p\"></b>"
        );
    }
}
