//! A small XML tree: enough to build, read and rewrite libvirt's documents.
//!
//! Not a general XML library: comments, processing instructions and white space between elements are dropped, namespace
//! prefixes are kept as written. Invariant: what [`Element::to_xml`] writes is well-formed whatever strings were put in;
//! characters that XML 1.0 can't carry become U+FFFD.

use std::fmt;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;

/// The text is not XML that we can read; the text says where and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedXml(String);

/// One element with its attributes and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), attributes: Vec::new(), children: Vec::new() }
    }

    /// With the attribute `name`, replacing one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.set(name, value);
        self
    }

    /// With one more child.
    #[must_use]
    pub fn child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }

    /// With a child that holds only text.
    #[must_use]
    pub fn child_text(self, name: &str, text: impl fmt::Display) -> Self {
        self.child(Element::new(name).text(text))
    }

    /// With text added to its content.
    #[must_use]
    pub fn text(mut self, text: impl fmt::Display) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }

    /// Its name, prefix included.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Value of the attribute `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Sets the attribute `name`.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        let value = value.to_string();
        match self.attributes.iter_mut().find(|(key, _)| key == name) {
            Some((_, present)) => *present = value,
            None => self.attributes.push((name.to_owned(), value)),
        }
    }

    /// Removes the attribute `name`.
    pub fn unset(&mut self, name: &str) {
        self.attributes.retain(|(key, _)| key != name);
    }

    /// Adds a child.
    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// Adds a child as the first.
    pub fn push_front(&mut self, child: Element) {
        self.children.insert(0, Node::Element(child));
    }

    /// Removes every child element named `name`.
    pub fn remove(&mut self, name: &str) {
        self.retain_elements(|child| child.name != name);
    }

    /// Keeps the child elements that `keep` says yes to.
    pub fn retain_elements(&mut self, keep: impl Fn(&Element) -> bool) {
        self.children.retain(|node| match node {
            Node::Element(child) => keep(child),
            Node::Text(_) => true,
        });
    }

    /// Its child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// Its child elements, to be changed.
    pub fn elements_mut(&mut self) -> impl Iterator<Item = &mut Element> {
        self.children.iter_mut().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// Its first child element named `name`.
    pub fn find(&self, name: &str) -> Option<&Element> {
        self.elements().find(|child| child.name == name)
    }

    /// Its first child element named `name`, to be changed.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Element> {
        self.elements_mut().find(|child| child.name == name)
    }

    /// Attribute `attribute` of the first child named `name`.
    pub fn find_attribute(&self, name: &str, attribute: &str) -> Option<&str> {
        self.find(name)?.get(attribute)
    }

    /// Its text, without that of its children.
    pub fn own_text(&self) -> String {
        let text = self.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        text.collect()
    }

    /// Writes it, indented by two spaces per level.
    pub fn to_xml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, level: usize) {
        let indent = |out: &mut String, level: usize| {
            for _ in 0..level {
                out.push_str("  ");
            }
        };
        indent(out, level);
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("='");
            escape(out, value);
            out.push('\'');
        }
        if self.children.is_empty() {
            out.push_str("/>\n");
            return;
        }
        out.push('>');
        let only_text = self.children.iter().all(|node| matches!(node, Node::Text(_)));
        if !only_text {
            out.push('\n');
        }
        for node in &self.children {
            match node {
                Node::Element(child) => child.write(out, level + 1),
                Node::Text(text) => escape(out, text),
            }
        }
        if !only_text {
            indent(out, level);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push_str(">\n");
    }

    /// Reads a document and returns its root.
    pub fn parse(text: &str) -> Result<Self, MalformedXml> {
        let mut reader = Reader::from_str(text);
        let malformed = |reader: &Reader<&[u8]>, what: &dyn fmt::Display| {
            MalformedXml(format!("at byte {}: {what}", reader.buffer_position()))
        };
        // The parents of the element being read, outermost first.
        let mut open: Vec<Element> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| malformed(&reader, &error))?;
            let closed = match event {
                Event::Start(start) => {
                    if open.len() == DEPTH_MAX {
                        return Err(malformed(&reader, &"nested too deeply"));
                    }
                    open.push(start_element(&start).map_err(|error| malformed(&reader, &error.0))?);
                    continue;
                }
                Event::Empty(start) => {
                    start_element(&start).map_err(|error| malformed(&reader, &error.0))?
                }
                Event::End(_) => open.pop().ok_or_else(|| malformed(&reader, &"unexpected end"))?,
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| malformed(&reader, &error))?;
                    append_text(&mut open, &text);
                    continue;
                }
                Event::CData(data) => {
                    let text = data.decode().map_err(|error| malformed(&reader, &error))?;
                    append_text(&mut open, &text);
                    continue;
                }
                Event::GeneralRef(reference) => {
                    let character =
                        reference.resolve_char_ref().map_err(|error| malformed(&reader, &error))?;
                    let name = reference.decode().map_err(|error| malformed(&reader, &error))?;
                    match (character, resolve_predefined_entity(&name)) {
                        (Some(character), _) => {
                            append_text(&mut open, character.encode_utf8(&mut [0; 4]));
                        }
                        (None, Some(text)) => append_text(&mut open, text),
                        (None, None) => return Err(malformed(&reader, &"unknown entity")),
                    }
                    continue;
                }
                Event::Eof => return Err(malformed(&reader, &"the document ends too early")),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => continue,
            };
            let mut closed = closed;
            closed.drop_white_space();
            match open.last_mut() {
                Some(parent) => parent.push(closed),
                None => return Ok(closed),
            }
        }
    }

    /// White space beside child elements is indentation.
    fn drop_white_space(&mut self) {
        if self.elements().next().is_some() {
            self.children
                .retain(|node| !matches!(node, Node::Text(text) if text.trim().is_empty()));
        }
    }
}

fn append_text(open: &mut [Element], text: &str) {
    let Some(element) = open.last_mut() else { return };
    match element.children.last_mut() {
        Some(Node::Text(present)) => present.push_str(text),
        _ => element.children.push(Node::Text(text.to_owned())),
    }
}

fn start_element(start: &BytesStart<'_>) -> Result<Element, MalformedXml> {
    let name = std::str::from_utf8(start.name().into_inner())
        .map_err(|error| MalformedXml(error.to_string()))?;
    let mut element = Element::new(name);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| MalformedXml(error.to_string()))?;
        let key = std::str::from_utf8(attribute.key.into_inner())
            .map_err(|error| MalformedXml(error.to_string()))?;
        let value = attribute.unescape_value().map_err(|error| MalformedXml(error.to_string()))?;
        element.attributes.push((key.to_owned(), value.into_owned()));
    }
    Ok(element)
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                out.push_str("&#");
                out.push_str(&u32::from(character).to_string());
                out.push(';');
            }
            '\u{0}'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let nasty = "a<b>&\"'\t\n end";
        let element = Element::new("a:top")
            .with("xmlns:a", "urn:x")
            .with("v", nasty)
            .child(Element::new("empty"))
            .child_text("said", nasty);
        assert_eq!(Element::parse(&element.to_xml()).expect("well-formed"), element);
    }

    #[test]
    fn characters_that_xml_cannot_carry_are_replaced() {
        let written = Element::new("t").text("\u{0}\u{1b}\u{fffe}x").to_xml();
        assert_eq!(
            Element::parse(&written).expect("well-formed").own_text(),
            "\u{fffd}\u{fffd}\u{fffd}x"
        );
    }

    #[test]
    fn references_cdata_and_comments_are_understood() {
        let text =
            "<?xml version='1.0'?>\n<!-- no --><t>\n <a>&lt;&#65;&#x42;<![CDATA[<&]]></a>\n</t>";
        let read = Element::parse(text).expect("well-formed");
        assert_eq!(read.find("a").expect("there").own_text(), "<AB<&");
    }

    #[test]
    fn damaged_documents_are_refused() {
        for text in ["", "<a>", "<a></b>", "text", "<a b=c/>", "<a>&nope;</a>"] {
            assert!(Element::parse(text).is_err(), "{text}");
        }
        assert!(Element::parse(&"<a>".repeat(100)).is_err());
    }
}
