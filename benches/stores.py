"""LlamaIndex's stores, one class for each backend: all that one adds to be measured beside its Python packages.

A class says
 - PACKAGES: what of the environment its figures depend on;
 - WORKLOADS: what both sides do, in groups that share a process;
 - GOALS: for a part of a workload, how many times the speed of Python ours is to have, and how many times less
   processor time it is to take (None: no goal);
 - SERVER: the script in scripts/servers that starts one;
 - documents, chat, vectors: the stores, empty, ready to use; reader: how many documents there are, and what loads them;
 - clear: removes everything. `about` tells the server's version.
Packages are imported where they are used: a process shall hold no more than its group needs.
"""

import importlib.metadata


class Memory:
    """The stores that LlamaIndex brings along. They keep everything in memory, and write it to a file when told to."""

    PACKAGES = ["llama-index-core", "numpy"]
    WORKLOADS = {"documents": "D1,D2,D3,D4", "chat": "C1,C2,C3", "vectors": "V1,V2,V3"}

    def __init__(self, _url=None, _name=None, _batch=None):
        pass

    def documents(self):
        from llama_index.core.storage.docstore import SimpleDocumentStore
        return SimpleDocumentStore()

    def chat(self):
        from llama_index.core.storage.chat_store import SimpleChatStore
        return SimpleChatStore()

    def vectors(self):
        from llama_index.core.vector_stores import SimpleVectorStore
        return SimpleVectorStore()

    def clear(self):
        pass


def version(_package):
    """Some packages ask for the version of the package `llama-index`, which only collects others."""
    return importlib.metadata.version("llama-index-core")


class MongoDb:
    """Writes are acknowledged by a majority, as ours are. The database has the name of the run."""

    PACKAGES = ["llama-index-core", "llama-index-storage-docstore-mongodb", "llama-index-storage-kvstore-mongodb",
                "llama-index-storage-chat-store-mongo", "llama-index-vector-stores-mongodb",
                "llama-index-readers-mongodb", "pymongo"]
    SERVER = "mongod.sh"
    # A search needs an index that only Atlas makes.
    WORKLOADS = {"documents": "D1,D2,D3,D4", "chat": "C1,C2,C3", "vectors": "V1", "reader": "R1"}
    GOALS = {("D1", "add"): (12, 20), ("D2", "read by id"): (20, 30), ("D3", "list hashes"): (1.5, None),
             ("D3", "list sources"): (1.5, None), ("D4", "delete"): (15, None), ("C1", "append"): (1.5, None),
             ("C2", "read back"): (5, None), ("V1", "add"): (1.5, 10), ("R1", "read all"): (6, 8)}

    def __init__(self, url, name, batch):
        from pymongo import MongoClient
        self.url, self.name, self.batch = url, name, batch
        self.client = MongoClient(url, w="majority")

    def about(self):
        return f"mongod {self.client.server_info()['version']}"

    def documents(self):
        from llama_index.storage.docstore.mongodb import MongoDocumentStore
        from llama_index.storage.kvstore.mongodb import MongoDBKVStore
        return MongoDocumentStore(MongoDBKVStore(self.client, db_name=self.name), batch_size=self.batch)

    def chat(self):
        from llama_index.storage.chat_store.mongo import MongoChatStore, base
        base.version = version
        return MongoChatStore(mongo_client=self.client, mongo_uri=self.url, db_name=self.name)

    def vectors(self):
        from llama_index.vector_stores.mongodb import MongoDBAtlasVectorSearch
        from pymongo import AsyncMongoClient
        return MongoDBAtlasVectorSearch(self.client, async_mongodb_client=AsyncMongoClient(self.url),
                                        db_name=self.name, collection_name="default_collection")

    def reader(self, batches):
        from llama_index.readers.mongodb import SimpleMongoReader, base
        base.version = version
        count = 0
        for nodes in batches:
            self.client[self.name]["values"].insert_many({"_id": node.node_id, "text": node.text} for node in nodes)
            count += len(nodes)
        reader = SimpleMongoReader(uri=self.url)
        return count, lambda: reader.load_data(self.name, "values")

    def clear(self):
        self.client.drop_database(self.name)


# By the name of the backend.
KINDS = {"memory": Memory, "mongodb": MongoDb}
