//! Content hashes, byte for byte as LlamaIndex 0.14 computes them.

use sha2::{Digest, Sha256};

use super::url::normalize_url;
use super::{ImageContent, METADATA_TEMPLATE, MediaResource, MetadataMode, Node, NodeContent};
use crate::python::push_repr_object;

impl Node {
    /// The content hash: 64 lower-case hexadecimal digits of a SHA-256.
    ///
    /// A `TextNode` or `IndexNode` hashes its text and metadata, an `ImageNode` its image and text, the others their
    /// resources and metadata. Older releases of LlamaIndex hashed documents and images differently, so a stored
    /// hash that differs is no sign of damage.
    ///
    /// Where Python can not compute a hash, because `metadata_template` has an unknown placeholder, the default
    /// template takes its place.
    #[must_use]
    pub fn hash(&self) -> String {
        match &self.content {
            NodeContent::Text(content) => self.text_hash(&content.text),
            NodeContent::Index(index) => self.text_hash(&index.text.text),
            NodeContent::Image(image) => image_hash(image),
            NodeContent::Multimodal(media)
            | NodeContent::Document(media)
            | NodeContent::ImageDocument(media) => {
                let metadata = self
                    .metadata_str(MetadataMode::All)
                    .or_else(|_| self.fill_metadata(MetadataMode::All, METADATA_TEMPLATE))
                    .unwrap_or_default();
                let mut parts = Vec::with_capacity(5);
                if !metadata.is_empty() {
                    parts.push(metadata);
                }
                let resources = [&media.audio, &media.image, &media.text, &media.video];
                parts.extend(resources.into_iter().flatten().map(MediaResource::hash));
                sha256_hex(&parts.join("-"))
            }
        }
    }

    fn text_hash(&self, text: &str) -> String {
        let mut identity = text.to_owned();
        push_repr_object(&mut identity, &self.metadata);
        sha256_hex(&identity)
    }
}

fn image_hash(image: &ImageContent) -> String {
    let part = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let parts = [
        part(&image.image),
        part(&image.image_path),
        part(&image.image_url),
        part(&Some(image.text.text.clone())),
    ];
    sha256_hex(&parts.map(|part| part.unwrap_or_else(|| "None".to_owned())).join("-"))
}

impl MediaResource {
    /// The resource's content hash, 64 lower-case hexadecimal digits; `""` when it has no text, path or URL.
    ///
    /// Path and URL enter in the form Python keeps them in: `a//b/.` as `a/b`, `https://h` as `https://h/`.
    /// (Python leaves a host name outside ASCII in Punycode, which is not reproduced here.)
    #[must_use]
    pub fn hash(&self) -> String {
        let mut identity = String::new();
        match self.text.as_deref() {
            Some("") => identity.push_str("<empty_string>"),
            Some(text) => identity.push_str(text),
            None => {}
        }
        if let Some(path) = &self.path {
            identity.push_str(&sha256_hex(&normalize_path(path)));
        }
        if let Some(url) = &self.url {
            identity.push_str(&sha256_hex(&normalize_url(url)));
        }
        let is_empty = self.text.is_none() && self.path.is_none() && self.url.is_none();
        if is_empty { String::new() } else { sha256_hex(&identity) }
    }
}

/// `str(pathlib.PurePosixPath(path))`.
fn normalize_path(path: &str) -> String {
    let root = match path.bytes().take_while(|&byte| byte == b'/').count() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if root.is_empty() && parts.is_empty() { ".".to_owned() } else { format!("{root}{}", parts.join("/")) }
}

fn sha256_hex(text: &str) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
    }
    out
}
