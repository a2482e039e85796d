//! XML text to a tree, for the one form NVIDIA's manifests have (a subset of XML 1.0 and Namespaces 1.0).
//!
//! Decides: that the text is that form and nothing else. What is read here is what is canonicalised, so the form is made
//! as narrow as it can be: no document type, processing instruction, comment or CDATA; one space between attributes, double
//! quotes; a character is written as an entity exactly where Canonical XML writes one; no prefix is declared twice on one
//! path. Two texts that canonicalise alike then differ at most in attribute order and in how an empty element is written,
//! and changing one byte never goes unnoticed. Every limit is a named constant. Nothing is genuine yet on exit.

use crate::gpu::GpuRejection;

/// Longest manifest. NVIDIA's have 20 to 40 kB.
pub(crate) const RIM_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting. NVIDIA's is 6.
const DEPTH_MAX: usize = 8;
/// Elements in all. NVIDIA's have about 90.
const ELEMENTS_MAX: usize = 1024;
/// Attributes and declarations of one element. NVIDIA's have at most 13.
const ATTRIBUTES_MAX: usize = 32;
/// Attributes of one measurement.
const ATTRIBUTES_USUAL: usize = 8;

/// The only declaration a text may begin with.
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// An element, its names resolved.
#[derive(Debug)]
pub(crate) struct Element<'a> {
    /// As written, with its prefix.
    pub(crate) name: &'a str,
    /// Namespace.
    pub(crate) uri: &'a str,
    /// Name without prefix.
    pub(crate) local: &'a str,
    /// Prefix (empty for the default namespace) and namespace of each declaration here.
    pub(crate) declarations: Vec<(&'a str, &'a str)>,
    /// The other attributes.
    pub(crate) attributes: Vec<Attribute<'a>>,
    /// What is inside, in order.
    pub(crate) children: Vec<Node<'a>>,
}

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    /// As written, with its prefix.
    pub(crate) name: &'a str,
    /// Namespace; empty without a prefix.
    pub(crate) uri: &'a str,
    /// Name without prefix.
    pub(crate) local: &'a str,
    /// As written, which is as Canonical XML writes it.
    pub(crate) value: &'a str,
}

/// What an element contains.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    /// An element.
    Element(Element<'a>),
    /// Characters as written, which is as Canonical XML writes them.
    Text(&'a str),
}

impl<'a> Element<'a> {
    /// The elements inside, in order.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element<'a>> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The value of an attribute without namespace.
    pub(crate) fn attribute(&self, local: &str) -> Option<&'a str> {
        self.attributes.iter().find(|attribute| attribute.uri.is_empty() && attribute.local == local).map(|a| a.value)
    }
}

/// Parse a whole document; its root.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element<'_>, GpuRejection> {
    if bytes.len() > RIM_BYTES_MAX {
        return Err(GpuRejection::RimLimit { limit: "size" });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| GpuRejection::RimMalformed { what: "not UTF-8" })?;
    let text = text.strip_prefix(DECLARATION).unwrap_or(text);
    let mut reader = Reader { rest: text, scope: Vec::new(), elements: 0 };
    let root = reader.element(0)?;
    // Canonical XML drops what follows the root, so only line ends may.
    if reader.rest.bytes().any(|byte| byte != b'\n') {
        return Err(GpuRejection::RimMalformed { what: "something follows the root element" });
    }
    Ok(root)
}

/// A start tag behind its name.
struct Tag<'a> {
    declarations: Vec<(&'a str, &'a str)>,
    attributes: Vec<Attribute<'a>>,
    is_empty: bool,
}

struct Reader<'a> {
    rest: &'a str,
    /// Declarations in scope, outermost first.
    scope: Vec<(&'a str, &'a str)>,
    elements: usize,
}

impl<'a> Reader<'a> {
    /// The element that starts here.
    fn element(&mut self, depth: usize) -> Result<Element<'a>, GpuRejection> {
        self.elements = self.elements.saturating_add(1);
        if depth >= DEPTH_MAX || self.elements > ELEMENTS_MAX {
            return Err(GpuRejection::RimLimit { limit: if depth >= DEPTH_MAX { "depth" } else { "elements" } });
        }
        self.require("<")?;
        if self.rest.starts_with(['!', '?']) {
            return Err(GpuRejection::RimForbidden);
        }
        let (name, prefix, local) = self.name()?;
        let outer = self.scope.len();
        let Tag { declarations, attributes, is_empty } = self.attributes()?;
        let uri = self.namespace(prefix)?;
        let mut element = Element { name, uri, local, declarations, attributes, children: Vec::new() };
        if !is_empty {
            self.content(&mut element, depth)?;
        }
        self.scope.truncate(outer);
        Ok(element)
    }

    /// Declarations and attributes up to the end of the tag, and whether the element ends with it.
    fn attributes(&mut self) -> Result<Tag<'a>, GpuRejection> {
        let mut declarations: Vec<(&str, &str)> = Vec::new();
        let mut attributes: Vec<Attribute<'a>> = Vec::with_capacity(ATTRIBUTES_USUAL);
        let is_empty = loop {
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                break false;
            }
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                break true;
            }
            if declarations.len().saturating_add(attributes.len()) >= ATTRIBUTES_MAX {
                return Err(GpuRejection::RimLimit { limit: "attributes" });
            }
            self.require(" ")?;
            let (name, prefix, local) = self.name()?;
            self.require("=\"")?;
            let (value, rest) = self.rest.split_once('"').ok_or_else(|| malformed("attribute"))?;
            self.rest = rest;
            require_canonical(value, Place::Attribute)?;
            match (prefix, local) {
                ("", "xmlns") => declarations.push(("", value)),
                ("xmlns", prefix) => declarations.push((prefix, value)),
                // The namespace is found once all declarations are read.
                _ => attributes.push(Attribute { name, uri: prefix, local, value }),
            }
        };
        for (prefix, uri) in &declarations {
            // A second meaning for a prefix would need care; NVIDIA never needs one.
            let again = self.scope.iter().any(|(known, _)| known == prefix);
            if again || uri.is_empty() || matches!(*prefix, "xml" | "xmlns") {
                return Err(malformed("namespace declaration"));
            }
            self.scope.push((prefix, uri));
        }
        for attribute in attributes.iter_mut().filter(|attribute| !attribute.uri.is_empty()) {
            attribute.uri = self.namespace(attribute.uri)?;
        }
        let mut rest = attributes.as_slice();
        while let Some((one, others)) = rest.split_first() {
            if others.iter().any(|other| one.local == other.local && one.uri == other.uri) {
                return Err(malformed("attribute occurs twice"));
            }
            rest = others;
        }
        Ok(Tag { declarations, attributes, is_empty })
    }

    /// Text and elements up to and including the end tag of `element`.
    fn content(&mut self, element: &mut Element<'a>, depth: usize) -> Result<(), GpuRejection> {
        loop {
            let end = self.rest.find('<').ok_or_else(|| malformed("element does not end"))?;
            let (text, rest) = self.rest.split_at_checked(end).ok_or_else(|| malformed("text"))?;
            if !text.is_empty() {
                require_canonical(text, Place::Text)?;
                element.children.push(Node::Text(text));
            }
            self.rest = rest;
            if let Some(rest) = rest.strip_prefix("</") {
                self.rest = rest.strip_prefix(element.name).ok_or_else(|| malformed("end tag"))?;
                return self.require(">");
            }
            let child = self.element(depth.saturating_add(1))?;
            element.children.push(Node::Element(child));
        }
    }

    fn require(&mut self, expected: &str) -> Result<(), GpuRejection> {
        self.rest = self.rest.strip_prefix(expected).ok_or_else(|| malformed("markup"))?;
        Ok(())
    }

    /// A name of ASCII letters, digits, `.`, `_`, `-`, with at most one colon; its prefix and local part.
    fn name(&mut self) -> Result<(&'a str, &'a str, &'a str), GpuRejection> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
        let end = self.rest.bytes().position(|byte| !is_name(byte)).ok_or_else(|| malformed("name"))?;
        let (name, rest) = self.rest.split_at_checked(end).ok_or_else(|| malformed("name"))?;
        self.rest = rest;
        let (prefix, local) = split_name(name)?;
        Ok((name, prefix, local))
    }

    fn namespace(&self, prefix: &str) -> Result<&'a str, GpuRejection> {
        let found = self.scope.iter().find(|(known, _)| *known == prefix);
        match found {
            Some((_, uri)) => Ok(uri),
            None if prefix.is_empty() => Ok(""),
            None => Err(malformed("undeclared prefix")),
        }
    }
}

/// Prefix and local part; each begins with a letter or an underscore.
fn split_name(name: &str) -> Result<(&str, &str), GpuRejection> {
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !part.contains(':');
    match name.split_once(':') {
        None if begins(name) => Ok(("", name)),
        Some((prefix, local)) if begins(prefix) && begins(local) => Ok((prefix, local)),
        _ => Err(malformed("name")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Attribute,
}

/// Canonical XML 1.1 §2.3: these characters are written as these entities and no others are.
fn require_canonical(raw: &str, place: Place) -> Result<(), GpuRejection> {
    if !raw.bytes().any(|byte| needs_a_look(byte) || !byte.is_ascii()) {
        return Ok(());
    }
    let mut rest = raw;
    while let Some(at) = rest.bytes().position(needs_a_look) {
        let (_, tail) = rest.split_at_checked(at).ok_or_else(|| malformed("character"))?;
        let allowed: &[&str] = match place {
            Place::Text => &["\n", "\t", "\"", "&amp;", "&lt;", "&gt;"],
            Place::Attribute => &[">", "&amp;", "&lt;", "&quot;"],
        };
        let Some(taken) = allowed.iter().find(|allowed| tail.starts_with(**allowed)) else {
            let entity = tail.starts_with('&');
            return Err(if entity { GpuRejection::RimForbidden } else { malformed("character") });
        };
        rest = tail.strip_prefix(taken).unwrap_or_default();
    }
    let odd = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    if !raw.is_ascii() && raw.contains(odd) { Err(malformed("character")) } else { Ok(()) }
}

/// Control characters and what markup is made of.
fn needs_a_look(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'&' | b'<' | b'>' | b'"' | 0x7f)
}

fn malformed(what: &'static str) -> GpuRejection {
    GpuRejection::RimMalformed { what }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn code(text: &str) -> &'static str {
        parse(text.as_bytes()).err().map_or("ok", |rejection| rejection.code())
    }

    #[test]
    fn only_the_narrow_form_is_read() {
        for good in [
            "<a/>",
            "<a></a>\n\n",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a/>",
            "<a b=\"1\" c=\"&amp;&lt;&quot;>'\">\n\t&gt;\"<b/></a>",
            "<a xmlns=\"u\" xmlns:p=\"u\" p:x=\"1\" x=\"2\"/>",
        ] {
            assert_eq!(code(good), "ok", "{good}");
        }
        for bad in [
            "",
            " <a/>",
            "<a/> ",
            "<a/><b/>",
            "<a>",
            "<a></b>",
            "<a></a >",
            "<a />",
            "<a  b=\"1\"/>",
            "<a b='1'/>",
            "<a b = \"1\"/>",
            "<a b=\"1\"c=\"2\"/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a b=\"\n\"/>",
            "<a>\r</a>",
            "<a>></a>",
            "<p:a/>",
            "<a p:b=\"1\"/>",
            "<a xmlns:p=\"u\" xmlns:q=\"u\" p:x=\"1\" q:x=\"1\"/>",
            "<a xmlns=\"\"/>",
            "<a xmlns=\"u\"><b xmlns=\"u\"/></a>",
            "<a xmlns:xml=\"u\"/>",
            "<a xml:id=\"1\"/>",
            "<1/>",
            "<a:b:c/>",
            "<a>\u{85}</a>",
            "<a>\u{ffff}</a>",
            "<a b=\"<\"/>",
            "\u{feff}<a/>",
        ] {
            assert_eq!(code(bad), "gpu.rim.malformed", "{bad:?}");
        }
        for forbidden in [
            "<!DOCTYPE a><a/>",
            "<?xml version=\"1.1\"?><a/>",
            "<a><!-- --></a>",
            "<a><![CDATA[x]]></a>",
            "<a><?p?></a>",
            "<a>&x;</a>",
            "<a>&#65;</a>",
            "<a>&apos;</a>",
            "<a b=\"&gt;\"/>",
            "<a>&quot;</a>",
        ] {
            assert_eq!(code(forbidden), "gpu.rim.forbidden", "{forbidden:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert_eq!(code(&nested(8)), "ok");
        assert_eq!(code(&nested(9)), "gpu.rim.limit");
        assert_eq!(code(&("<a>".to_owned() + &"<b/>".repeat(1023) + "</a>")), "ok");
        assert_eq!(code(&("<a>".to_owned() + &"<b/>".repeat(1024) + "</a>")), "gpu.rim.limit");
        let attributes = |count: usize| (0..count).map(|n| format!(" a{n}=\"\"")).collect::<String>();
        assert_eq!(code(&format!("<a{}/>", attributes(32))), "ok");
        assert_eq!(code(&format!("<a{}/>", attributes(33))), "gpu.rim.limit");
        let text = |length: usize| format!("<a>{}</a>", "x".repeat(length));
        assert_eq!(code(&text(256 * 1024 - 7)), "ok");
        assert_eq!(code(&text(256 * 1024 - 6)), "gpu.rim.limit");
    }
}
