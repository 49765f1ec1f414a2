//! Cutting documents into chunks at headings, paragraphs and sentences.

use std::ops::Range;

use nodestore::{Document, Node, Result, nodes_from_chunks};
use text_splitter::{Characters, ChunkConfig, MarkdownSplitter, TextSplitter};

use crate::failure::Failure;
use crate::formats::{Format, markdown_body};

/// The splitter of `ingest`: Markdown for Markdown files, else plain text. Sizes are in characters.
pub(crate) fn splitter(
    size: usize,
    overlap: usize,
) -> std::result::Result<impl Fn(&Document) -> Result<Vec<Node>> + Send + Sync + 'static, Failure> {
    let markdown = MarkdownSplitter::new(config(size, overlap)?);
    let plain = TextSplitter::new(config(size, overlap)?);
    Ok(move |document: &Document| {
        let text = document.text_content();
        let markdown_type = Format::Markdown.media_type();
        let is_markdown = document.metadata.get("file_type").is_some_and(|kind| kind == markdown_type);
        let chunks: Vec<Range<usize>> = if is_markdown {
            let body = markdown_body(text);
            let before = text.len() - body.len();
            let shift = |range: Range<usize>| range.start + before..range.end + before;
            markdown.chunk_indices(body).map(range).map(shift).collect()
        } else {
            plain.chunk_indices(text).map(range).collect()
        };
        nodes_from_chunks(document, chunks)
    })
}

fn range((start, chunk): (usize, &str)) -> Range<usize> {
    start..start + chunk.len()
}

fn config(size: usize, overlap: usize) -> std::result::Result<ChunkConfig<Characters>, Failure> {
    ChunkConfig::new(size).with_overlap(overlap).map_err(|_| {
        Failure::usage(format!("--overlap {overlap} is not less than --chunk-size {size}"))
            .with_help("chunks of 1000 characters usually overlap by 0 to 200")
    })
}
