"""What the suite asks of a role, in calls of LlamaIndex's classes. Arguments and answers are JSON."""

import json

from llama_index.core.llms import ChatMessage
from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from llama_index.core.storage.index_store.utils import index_struct_to_json, json_to_index_struct
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters, VectorStoreQuery


class KeyValues:
    """Collections have the names that the space gives them."""

    def __init__(self, space):
        self.store, self.named = space.kv, space.collection

    def put(self, collection, key, value):
        self.store.put(key, value, collection=self.named(collection))

    def get(self, collection, key):
        return self.store.get(key, collection=self.named(collection))

    def delete(self, collection, key):
        return self.store.delete(key, collection=self.named(collection))

    def all(self, collection):
        return dict(sorted(self.store.get_all(collection=self.named(collection)).items()))


class Documents:
    def __init__(self, space):
        self.store = space.docs

    def add(self, nodes, insert=False, store_text=True):
        self.store.add_documents([json_to_doc(node) for node in nodes], allow_update=not insert, store_text=store_text)

    def add_old(self, part, id, value):
        """An entry as an older release left it."""
        store = self.store
        names = {"data": store._node_collection, "metadata": store._metadata_collection,
                 "ref_doc_info": store._ref_doc_collection}
        store._kvstore.put(id, value, collection=names[part])

    def get(self, ids):
        found = [self.store.get_document(id, raise_error=False) for id in ids]
        return [node_of(node) if node else None for node in found]

    def delete(self, ids):
        for id in ids:
            self.store.delete_document(id, raise_error=False)

    def ref_doc(self, id):
        info = self.store.get_ref_doc_info(id)
        return info and {"node_ids": info.node_ids, "metadata": info.metadata}

    def delete_ref_doc(self, id):
        self.store.delete_ref_doc(id, raise_error=False)

    def hash(self, id):
        return self.store.get_document_hash(id)

    def set_hash(self, id, hash):
        self.store.set_document_hash(id, hash)

    def listed(self, prefix):
        """The ids of nodes, of source documents and of hashes."""
        parts = {"nodes": self.store.docs, "ref_docs": self.store.get_all_ref_doc_info() or {},
                 "hashes": self.store.get_all_document_hashes().values()}
        return {name: sorted(id for id in ids if id.startswith(prefix)) for name, ids in parts.items()}


class IndexStructs:
    def __init__(self, space):
        self.store = space.index

    def put(self, struct):
        self.store.add_index_struct(json_to_index_struct(struct))

    def get(self, id):
        struct = self.store.get_index_struct(id)
        return struct and index_struct_to_json(struct)

    def delete(self, id):
        self.store.delete_index_struct(id)

    def listed(self, prefix):
        return sorted(one.index_id for one in self.store.index_structs() if one.index_id.startswith(prefix))


class Chats:
    """Sessions have the names that the space gives them."""

    def __init__(self, space):
        self.space, self.store, self.named = space, space.chat, space.session

    def set(self, key, messages):
        self.store.set_messages(self.named(key), [ChatMessage.model_validate(message) for message in messages])

    def add(self, key, message):
        self.store.add_message(self.named(key), ChatMessage.model_validate(message))

    def add_old(self, key, message):
        """A message as an older release left it."""
        self.space.write_message(self.named(key), message)

    def get(self, key):
        return [message_of(message) for message in self.store.get_messages(self.named(key))]

    def insert(self, key, index, message):
        self.store.add_message(self.named(key), ChatMessage.model_validate(message), idx=index)

    def remove(self, key, index):
        return message_of(self.store.delete_message(self.named(key), index))

    def pop(self, key):
        return message_of(self.store.delete_last_message(self.named(key)))

    def delete(self, key):
        self.store.delete_messages(self.named(key))

    def keys(self, prefix):
        begin = self.named("")
        keys = [key.removeprefix(begin) for key in self.store.get_keys() if key.startswith(begin)]
        return sorted(key for key in keys if key.startswith(prefix))


class Vectors:
    def __init__(self, space):
        self.space, self.store = space, space.vectors

    def add(self, nodes):
        self.store.add([json_to_doc(node) for node in nodes])

    def query(self, embedding, k, prefix, filters=None):
        """The ids with this prefix among the k nearest, with their scores, and the nodes where the store keeps them."""
        wanted = filters and MetadataFilters(filters=[ExactMatchFilter(key=key, value=value) for key, value in filters.items()])
        found = self.store.query(VectorStoreQuery(query_embedding=embedding, similarity_top_k=k, filters=wanted))
        # Redis' ids are keys that were cut: those of the nodes are whole.
        ids = [node.node_id for node in found.nodes] if found.nodes else found.ids
        nodes = found.nodes or [None] * len(ids)
        rows = zip(ids, found.similarities or [], nodes, strict=True)
        return [{"id": id, "score": round(self.space.cosine(score), 4), "node": node and doc_to_json(node)}
                for id, score, node in rows if id.startswith(prefix)]

    def delete(self, source):
        self.store.delete(source)


def node_of(node: BaseNode):
    return {"node": doc_to_json(node), "hash": node.hash}


def message_of(message):
    """Redis' store answers what it removed as it is stored."""
    if isinstance(message, bytes):
        message = ChatMessage.model_validate_json(message)
    return message and json.loads(message.model_dump_json())


ROLES = {"kv": KeyValues, "docs": Documents, "index": IndexStructs, "chat": Chats, "vectors": Vectors}
