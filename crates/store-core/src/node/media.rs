//! Media resources, and the media types that Python guesses from file names.

/// One media resource. Its bytes are never stored, as in LlamaIndex: keep a path or URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaResource {
    /// Embeddings by kind, in order. Python knows the kinds `dense` and `sparse` and refuses others.
    pub embeddings: Option<Vec<(String, Vec<f64>)>>,
    /// Text, for a text resource.
    pub text: Option<String>,
    /// A path.
    pub path: Option<String>,
    /// A URL.
    pub url: Option<String>,
    /// The media type. Where it is absent, reading JSON guesses it from the path's extension, as Python does.
    pub mimetype: Option<String>,
}

impl MediaResource {
    /// A text.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A file; the media type is guessed from its extension as Python does.
    #[must_use]
    pub fn from_path(path: impl Into<String>) -> Self {
        let path = path.into();
        let mimetype = guess_mimetype(&path).map(str::to_owned);
        Self { path: Some(path), mimetype, ..Self::default() }
    }

    /// Something at a URL.
    #[must_use]
    pub fn from_url(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::default() }
    }

    /// Sets the media type.
    #[must_use]
    pub fn with_mimetype(mut self, mimetype: impl Into<String>) -> Self {
        self.mimetype = Some(mimetype.into());
        self
    }
}

/// The media type of a path's extension, by the table of the Python package `filetype` (1.2), which LlamaIndex asks.
/// The extension is compared as it is: `JPG` and `jpeg` are unknown there.
pub(super) fn guess_mimetype(path: &str) -> Option<&'static str> {
    let name = path.split('/').rfind(|part| !matches!(*part, "" | "."))?;
    let (stem, extension) = name.rsplit_once('.')?;
    if stem.is_empty() {
        return None;
    }
    let found = MIMETYPES.iter().find(|(known, _)| *known == extension)?;
    Some(found.1)
}

const MIMETYPES: &[(&str, &str)] = &[
    ("dwg", "image/vnd.dwg"),
    ("xcf", "image/x-xcf"),
    ("jpg", "image/jpeg"),
    ("jpx", "image/jpx"),
    ("apng", "image/apng"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("tif", "image/tiff"),
    ("cr2", "image/x-canon-cr2"),
    ("bmp", "image/bmp"),
    ("jxr", "image/vnd.ms-photo"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("ico", "image/x-icon"),
    ("heic", "image/heic"),
    ("dcm", "application/dicom"),
    ("avif", "image/avif"),
    ("aac", "audio/aac"),
    ("midi", "audio/midi"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("flac", "audio/x-flac"),
    ("wav", "audio/x-wav"),
    ("amr", "audio/amr"),
    ("aiff", "audio/x-aiff"),
    ("3gp", "video/3gpp"),
    ("mp4", "video/mp4"),
    ("m4v", "video/x-m4v"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("avi", "video/x-msvideo"),
    ("wmv", "video/x-ms-wmv"),
    ("mpg", "video/mpeg"),
    ("webm", "video/webm"),
    ("flv", "video/x-flv"),
    ("woff", "application/font-woff"),
    ("woff2", "application/font-woff"),
    ("ttf", "application/font-sfnt"),
    ("otf", "application/font-sfnt"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("br", "application/x-brotli"),
    ("rpm", "application/x-rpm"),
    ("epub", "application/epub+zip"),
    ("zip", "application/zip"),
    ("tar", "application/x-tar"),
    ("rar", "application/x-rar-compressed"),
    ("gz", "application/gzip"),
    ("bz2", "application/x-bzip2"),
    ("7z", "application/x-7z-compressed"),
    ("pdf", "application/pdf"),
    ("exe", "application/x-msdownload"),
    ("swf", "application/x-shockwave-flash"),
    ("rtf", "application/rtf"),
    ("nes", "application/x-nintendo-nes-rom"),
    ("crx", "application/x-google-chrome-extension"),
    ("cab", "application/vnd.ms-cab-compressed"),
    ("eot", "application/octet-stream"),
    ("ps", "application/postscript"),
    ("xz", "application/x-xz"),
    ("sqlite", "application/x-sqlite3"),
    ("deb", "application/x-deb"),
    ("ar", "application/x-unix-archive"),
    ("Z", "application/x-compress"),
    ("lzo", "application/x-lzop"),
    ("lz", "application/x-lzip"),
    ("elf", "application/x-executable"),
    ("lz4", "application/x-lz4"),
    ("zst", "application/zstd"),
    ("wasm", "application/wasm"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_as_pathlib_and_filetype_do() {
        for (path, expected) in [
            ("a/b.png", Some("image/png")),
            ("b.tar.gz", Some("application/gzip")),
            ("b.png/", Some("image/png")),
            ("b.png/.", Some("image/png")),
            ("b.jpeg", None),
            ("b.PNG", None),
            (".png", None),
            ("b.", None),
            ("a.png/b", None),
            ("", None),
        ] {
            assert_eq!(guess_mimetype(path), expected, "{path}");
        }
    }
}
