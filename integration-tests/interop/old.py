"""What an old release of LlamaIndex writes, by its own classes.

    old.py nodes <lines     nodes as it stored them, one a line: read and stored again
    old.py folder FOLDER    persists a StorageContext, and prints what is in it

PYTHONPATH is the folder with the release, which runs on the packages of today. Answers are JSON.
"""

import importlib
import json
import os
import sys
import types

OLD = os.environ["PYTHONPATH"]
ROOT = "llama_index.core" if os.path.isdir(f"{OLD}/llama_index/core") else "llama_index"


def bare(name, **members):
    """A package without what its own `__init__` imports: models and databases, which are not there."""
    module = types.ModuleType(name)
    module.__path__ = [os.path.join(OLD, *name.split("."))]
    module.__dict__.update(members)
    sys.modules[name] = module


if ROOT == "llama_index":
    for name in ["llama_index", "llama_index.embeddings", "llama_index.indices", "llama_index.indices.query",
                 "llama_index.vector_stores"]:
        bare(name)
    # Of langchain only types are named.
    bare("llama_index.bridge.langchain", __getattr__=lambda name: type(name, (), {}))


def of(module, *names):
    module = importlib.import_module(f"{ROOT}.{module}")
    found = [getattr(module, name) for name in names]
    return found if len(found) > 1 else found[0]


Document, ImageNode, IndexNode, TextNode = of("schema", "Document", "ImageNode", "IndexNode", "TextNode")
Relationship, RelatedNodeInfo, ObjectType = of("schema", "NodeRelationship", "RelatedNodeInfo", "ObjectType")
doc_to_json, json_to_doc = of("storage.docstore.utils", "doc_to_json", "json_to_doc")
StorageContext = of("storage.storage_context", "StorageContext")
SimpleDocumentStore = of("storage.docstore.simple_docstore", "SimpleDocumentStore")
SimpleIndexStore = of("storage.index_store.simple_index_store", "SimpleIndexStore")
SimpleVectorStore = of("vector_stores.simple", "SimpleVectorStore")


def link(id, node_type=None):
    return RelatedNodeInfo(node_id=id, node_type=node_type, metadata={"k": 1.0}, hash="h")


def nodes():
    source = {Relationship.SOURCE: link("d", ObjectType.DOCUMENT)}
    chain = {Relationship.PREVIOUS: link("t"), Relationship.NEXT: link("i"), Relationship.PARENT: link("p"),
             Relationship.CHILD: [link("c 1"), link("c 2")]}
    metadata = {"z": 1, "a": {"y": 2.0, "x": [1, 0.5, -0.0, None, True]}, "Zażółć 🚀": "é"}
    return [
        Document(id_="d", text="whole", metadata={"file": "d.md"}, excluded_llm_metadata_keys=["file"]),
        TextNode(id_="t", text="Tokaj 🍷", metadata=metadata, relationships=source, start_char_idx=0, end_char_idx=5),
        TextNode(id_="u", text="", metadata={"n": 10**15}, relationships=source | chain, metadata_template="{key}={value}",
                 text_template="{content}", excluded_embed_metadata_keys=["n"]),
        ImageNode(id_="i", text="a cat", image="aGVsbG8=", relationships=source),
        IndexNode(id_="x", text="see there", index_id="other"),
    ]


def structs():
    def put(name, **members):
        made = of("data_structs.data_structs", name)(**members)
        made.summary = f"of {name}"
        return made

    return [put("IndexDict", index_id="s1", nodes_dict={"t": "t", "u": "u"}), put("IndexList", index_id="s2", nodes=["t", "i"]),
            put("IndexGraph", index_id="s3", all_nodes={0: "t", 1: "u"}, root_nodes={0: "t"}, node_id_to_children_ids={"t": ["u"]}),
            put("KeywordTable", index_id="s4", table={"wine": {"t"}}), put("EmptyIndexStruct", index_id="s5"),
            put("KG", index_id="s6", table={"cat": {"i"}}, rel_map={"cat": [["is", "animal"]]})]


def embed(store, node, embedding):
    if ROOT == "llama_index":
        store.add([of("vector_stores.types", "NodeWithEmbedding")(node=node, embedding=embedding)])
    else:
        node.embedding = embedding
        store.add([node])


def shown(docs, node):
    linked = {kind: (node.relationships.get(kind) or None) for kind in (Relationship.PREVIOUS, Relationship.NEXT, Relationship.PARENT)}
    children = node.relationships.get(Relationship.CHILD) or []
    return {"id": node.node_id, "class": type(node).__name__, "text": node.text, "metadata": node.metadata,
            "source": node.ref_doc_id, "hash": docs.get_document_hash(node.node_id),
            "near": [info and info.node_id for info in linked.values()], "children": [info.node_id for info in children]}


def folder(path):
    docs, index, vectors = SimpleDocumentStore(), SimpleIndexStore(), SimpleVectorStore()
    all_nodes = nodes()
    docs.add_documents(all_nodes)
    for struct in structs():
        index.add_index_struct(struct)
    for node, embedding in zip(all_nodes[1:4], [[1.0, 0.0], [0.5, 0.25], [-1.0, 0.125]], strict=True):
        embed(vectors, node, embedding)
    StorageContext.from_defaults(docstore=docs, index_store=index, vector_store=vectors).persist(path)
    info = docs.get_ref_doc_info("d")
    return {"nodes": [shown(docs, node) for node in all_nodes],
            "ref_doc": {"node_ids": info.node_ids, "metadata": getattr(info, "metadata", None) or info.extra_info},
            "structs": [[struct.index_id, struct.get_type().value, struct.summary] for struct in structs()]}


def main(command, *arguments):
    if command == "nodes":
        return [doc_to_json(json_to_doc(json.loads(line))) for line in sys.stdin]
    return folder(*arguments)


if __name__ == "__main__":
    # Whatever packages print is not the answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    json.dump(main(*sys.argv[1:]), answer)
