"""Folders of LlamaIndex for the test of `nodestore import` and `nodestore export`.

    folder.py write DIR NUMBERS   persist a StorageContext; NUMBERS is float32, digits or float64
    folder.py read DIR            load one, and print what is in it as JSON

Nothing here needs a model or a network: embeddings come from a hash.
"""

import hashlib
import json
import sys

import numpy as np
from llama_index.core import (
    Document,
    SimpleKeywordTableIndex,
    StorageContext,
    SummaryIndex,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.data_structs import data_structs
from llama_index.core.llms.mock import MockLLM
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    QueryBundle,
    TextNode,
)
from llama_index.core.storage.docstore.utils import doc_to_json
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, SimpleVectorStore
from llama_index.core.vector_stores.types import VectorStoreQuery

DIMENSIONS = 24
QUERIES = 60


class HashEmbedding(BaseEmbedding):
    """Vectors drawn at random, by a hash of the text."""

    numbers: str = "float32"

    def vector(self, text):
        seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        values = np.random.default_rng(seed).standard_normal(DIMENSIONS)
        if self.numbers == "float64":
            return values.tolist()
        values = values.astype(np.float32)
        return values.tolist() if self.numbers == "float32" else [float(str(value)) for value in values]

    def _get_text_embedding(self, text):
        return self.vector(text)

    def _get_query_embedding(self, query):
        return self.vector(query)

    async def _aget_query_embedding(self, query):
        return self.vector(query)


def nodes_of(number):
    """A document and its nodes, which hold what JSON, Python and Unicode have to offer."""
    document = Document(
        id_=f"document {number}",
        text=f"Zażółć gęślą jaźń {number} 🚀\u2028\x00\x1f",
        metadata={"file": f"/tmp/ß {number}.md", "number": number, "nested": {"a": [1, 2.5, None, True, {"b": ""}]}},
        excluded_llm_metadata_keys=["file"],
    )
    nodes = []
    for place in range(4):
        node = TextNode(
            id_=f"node {number}/{place} \"é\"",
            text=f"wine number {number} grows in valley {place} \\ \"quoted\" '{chr(0x1F347)}'",
            metadata={
                "page": place, "whole": 2.0, "tiny": 5e-324, "huge": 1e22, "minus": -0.0, "big": 2**63 - 1,
                "bigger": 2**64 - 1, "none": None, "list": [], "deep": {"x": {"y": [[]]}}, "tag": "red" if place % 2 else "white",
            },
            start_char_idx=place * 10,
            end_char_idx=place * 10 + 9,
        )
        node.relationships[NodeRelationship.SOURCE] = document.as_related_node_info()
        nodes.append(node)
    for before, after in zip(nodes, nodes[1:]):
        before.relationships[NodeRelationship.NEXT] = after.as_related_node_info()
        after.relationships[NodeRelationship.PREVIOUS] = before.as_related_node_info()
    nodes[0].relationships[NodeRelationship.CHILD] = [node.as_related_node_info() for node in nodes[1:]]
    nodes[1].relationships[NodeRelationship.PARENT] = nodes[0].as_related_node_info()
    return document, nodes


def write(folder, numbers):
    embed = HashEmbedding(numbers=numbers)
    context = StorageContext.from_defaults()
    documents, nodes = [], []
    for number in range(60):
        document, some = nodes_of(number)
        documents.append(document)
        nodes += some
    nodes.append(IndexNode(id_="an index node", text="points elsewhere", index_id="chapters", metadata={"tag": "red"}))
    nodes.append(ImageNode(id_="an image", text="a picture of grapes", image="aGVsbG8=", image_path="/tmp/grapes.png"))
    nodes.append(Node(id_="several media", text_resource=MediaResource(text="a film"), video_resource=MediaResource(path="/tmp/film.mp4")))
    nodes.append(TextNode(id_="no source", text="nothing before it"))

    # The nodes come into the docstore in several calls, the documents too, one hash alone, and two without text.
    context.docstore.add_documents(documents)
    VectorStoreIndex(nodes, storage_context=context, embed_model=embed).set_index_id("vectors")
    summary = SummaryIndex(nodes[:20], storage_context=context)
    summary.set_index_id("summary")
    SimpleKeywordTableIndex(nodes[:8], storage_context=context, llm=MockLLM()).set_index_id("keywords")
    context.index_store.add_index_struct(data_structs.IndexGraph(
        index_id="tree", summary="Zażółć", all_nodes={0: nodes[0].node_id}, root_nodes={0: nodes[0].node_id},
        node_id_to_children_ids={nodes[0].node_id: [nodes[1].node_id]}))
    context.index_store.add_index_struct(data_structs.KG(index_id="kg", table={"wine": {nodes[0].node_id}}, rel_map={"a": [["b", "c"]]}))
    context.docstore.set_document_hash("lonely", "0123")
    bodiless = [TextNode(id_=f"bodiless {place}", text="gone", metadata={"kept": place}) for place in range(2)]
    for node in bodiless:
        node.relationships[NodeRelationship.SOURCE] = documents[0].as_related_node_info()
    context.docstore.add_documents(bodiless, store_text=False)
    context.docstore.set_document_hash(nodes[5].node_id, "an older release hashed otherwise")
    # A vector whose node the docstore does not know, and a second namespace.
    orphan = TextNode(id_="orphan", text="unknown", metadata={"tag": "red", "page": 7}, embedding=embed.vector("orphan"))
    orphan.relationships[NodeRelationship.SOURCE] = documents[1].as_related_node_info()
    context.vector_store.add([orphan])
    for place, namespace in enumerate(["summaries", "Weird Name"]):
        store = SimpleVectorStore()
        store.add([node.model_copy(update={"embedding": embed.vector(f"{place} {node.node_id}")}) for node in nodes[:30]])
        context.add_vector_store(store, namespace)
    context.graph_store.upsert_triplet("wine", "grows in", "valleys")
    context.vector_stores["image"].add([TextNode(id_="an image", text="", embedding=[0.5, 0.25])])
    context.persist(folder)


def plain(struct):
    """A struct's members; what is a set in Python has no order."""
    members = struct.to_dict()
    if "table" in members:
        members["table"] = {keyword: sorted(ids) for keyword, ids in members["table"].items()}
    return members


def read(folder):
    context = StorageContext.from_defaults(persist_dir=folder)
    docstore = context.docstore
    told = {
        "nodes": {key: doc_to_json(node) for key, node in docstore.docs.items()},
        "true_hashes": {key: node.hash for key, node in docstore.docs.items()},
        "relationships": {key: sorted(str(name) for name in node.relationships) for key, node in docstore.docs.items()},
        "hashes": docstore._kvstore.get_all(docstore._metadata_collection),
        "ref_docs": {key: info.to_dict() for key, info in (docstore.get_all_ref_doc_info() or {}).items()},
        "structs": {
            struct.index_id: [struct.get_type().value, plain(struct)]
            for struct in context.index_store.index_structs()
        },
        "graph": context.graph_store.to_dict(),
        "vectors": {},
        "answers": {},
    }
    embed = HashEmbedding()
    questions = [f"question {number}" for number in range(QUERIES)]
    told["queries"] = [embed.vector(question) for question in questions]
    for namespace, store in context.vector_stores.items():
        told["vectors"][namespace] = store.to_dict()
        if not store.data.embedding_dict or namespace == "image":
            continue
        dimensions = len(next(iter(store.data.embedding_dict.values())))
        for filters in [None, MetadataFilters(filters=[MetadataFilter(key="tag", value="red")])]:
            answers = []
            for question in questions:
                query = VectorStoreQuery(
                    query_embedding=embed.vector(question)[:dimensions], similarity_top_k=10,
                    filters=filters if store.data.metadata_dict else None)
                result = store.query(query)
                answers.append([result.ids, result.similarities])
            told["answers"][f"{namespace} {filters is not None}"] = answers
    for index_id, (kind, _) in sorted(told["structs"].items()):
        if kind not in ("vector_store", "list"):
            continue
        index = load_index_from_storage(context, index_id=index_id, embed_model=embed)
        retriever = index.as_retriever(**({"similarity_top_k": 3} if kind == "vector_store" else {}))
        found = []
        for question in questions[:10]:
            try:
                hits = retriever.retrieve(QueryBundle(question, embedding=embed.vector(question)))
                found.append([[hit.node.node_id, hit.node.get_content(), hit.score] for hit in hits])
            except KeyError:
                # The orphan is in no index struct.
                found.append("KeyError")
        told["answers"][f"index {index_id}"] = found
    print(json.dumps(told))


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
