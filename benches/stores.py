"""LlamaIndex's stores, one class for each backend: all that one adds to be measured beside its Python packages.

A class says
 - PACKAGES: what of the environment its figures depend on;
 - WORKLOADS: what both sides do, in groups that share a process;
 - GOALS: for a part of a workload, how many times the speed of Python ours is to have, and how many times less
   processor time it is to take (None: no goal);
 - LONGEST: how many messages a chat of Python's can hold;
 - EXACT: whether a search finds what is nearest, so that both sides must answer the same ids;
 - GROWTH: how many times as long as at 10 messages a chat append may take at 2,000;
 - VARIABLE, SERVER: what names a server that runs, and what in scripts/servers starts one;
 - documents, chat, vectors: the stores, empty, ready to use; reader: how many documents there are, and what loads them;
 - ours: the URL that our side is given;
 - session: a name of a chat; node: what the vector store can keep of a node; ids: those of the nodes in its answer;
 - clear: removes everything. `about` tells the server's version.
Packages are imported where they are used: a process shall hold no more than its group needs.
"""

import contextlib
import importlib.metadata
import itertools
import math
import urllib.parse

# Of the corpus.
DIMENSIONS = 384


class Kind:
    """Where the database parts the runs, and its store takes every node and answers ids."""

    LONGEST = math.inf
    EXACT = True

    @staticmethod
    def ours(url):
        """The URL for our side."""
        return url

    def session(self, name):
        return name

    def node(self, node):
        return node

    def ids(self, answer):
        return answer.ids


class Memory(Kind):
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


class MongoDb(Kind):
    """Writes are acknowledged by a majority, as ours are. The database has the name of the run."""

    PACKAGES = ["llama-index-core", "llama-index-storage-docstore-mongodb", "llama-index-storage-kvstore-mongodb",
                "llama-index-storage-chat-store-mongo", "llama-index-vector-stores-mongodb",
                "llama-index-readers-mongodb", "pymongo"]
    VARIABLE, SERVER = "STORE_TEST_MONGODB_URL", ["mongod.sh", "run"]
    # A search needs an index that only Atlas makes.
    WORKLOADS = {"documents": "D1,D2,D3,D4", "chat": "C1,C2,C3", "vectors": "V1", "reader": "R1"}
    GOALS = {("D1", "add"): (12, 20), ("D2", "read by id"): (20, 30), ("D3", "list hashes"): (1.5, None),
             ("D3", "list sources"): (1.5, None), ("D4", "delete"): (15, None), ("C1", "append"): (1.5, None),
             ("C2", "read back"): (5, None), ("V1", "add"): (1.5, 10), ("R1", "read all"): (6, 8)}
    GROWTH = 1.1

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


class Redis(Kind):
    """One server with the search module for all, the index that LlamaIndex makes unless told otherwise (FLAT, cosine),
    and the field that is filtered by declared in it. All keys begin with the name of the run."""

    PACKAGES = ["llama-index-core", "llama-index-storage-docstore-redis", "llama-index-storage-kvstore-redis",
                "llama-index-storage-chat-store-redis", "llama-index-vector-stores-redis", "redisvl", "redis", "numpy"]
    VARIABLE, SERVER = "STORE_TEST_REDIS_STACK_URL", ["redis.sh", "run", "--flavor", "stack"]
    WORKLOADS = Memory.WORKLOADS
    GOALS = {("D1", "add"): (20, 20), ("D2", "read by id"): (15, 20), ("D3", "list hashes"): (5, None),
             ("D3", "list sources"): (5, None), ("D4", "delete"): (20, None), ("C1", "append"): (1.2, None),
             ("C2", "read back"): (4, None), ("V1", "add"): (1.8, 10), ("V2", "query"): (1.8, 15),
             ("V2", "query, 8 at once"): (1.8, 15), ("V3", "filter"): (1.8, 15),
             ("V3", "filter, 8 at once"): (1.8, 15)}
    GROWTH = 1.0

    def __init__(self, url, name, batch):
        from redis import Redis as Client
        self.url, self.name, self.batch = url, name, batch
        self.client = Client.from_url(url)

    def about(self):
        modules = {module[b"name"].decode(): module[b"ver"] for module in self.client.module_list()}
        return f"Redis {self.client.info('server')['redis_version']}, search {modules.get('search', 'none')}"

    def documents(self):
        from llama_index.storage.docstore.redis import RedisDocumentStore
        from llama_index.storage.kvstore.redis import RedisKVStore
        return RedisDocumentStore(RedisKVStore(self.url), namespace=self.name, batch_size=self.batch)

    def chat(self):
        from llama_index.storage.chat_store.redis import RedisChatStore
        return RedisChatStore(redis_url=self.url)

    def session(self, name):
        return f"{self.name}:{name}"

    def vectors(self):
        from llama_index.vector_stores.redis import RedisVectorStore
        from redisvl.schema import IndexSchema
        fields = [{"name": "id", "type": "tag"}, {"name": "doc_id", "type": "tag"}, {"name": "text", "type": "text"},
                  {"name": "vector", "type": "vector",
                   "attrs": {"dims": DIMENSIONS, "algorithm": "flat", "distance_metric": "cosine"}},
                  {"name": "group", "type": "tag"}]
        index = {"name": self.name, "prefix": f"{self.name}/vector", "key_separator": "_"}
        return RedisVectorStore(IndexSchema.from_dict({"index": index, "fields": fields}), redis_url=self.url)

    def node(self, node):
        """It raises at a bool in the metadata."""
        node.metadata = {key: int(value) if isinstance(value, bool) else value for key, value in node.metadata.items()}
        return node

    def ids(self, answer):
        """Its ids are the keys."""
        return [node.node_id for node in answer.nodes]

    def clear(self):
        from redis import ResponseError
        with contextlib.suppress(ResponseError):
            # There is none unless vectors were measured.
            self.client.ft(self.name).dropindex()
        found = self.client.scan_iter(f"{self.name}*", 1000)
        while keys := list(itertools.islice(found, 1000)):
            self.client.unlink(*keys)


class DynamoDb(Kind):
    """A table of the run's name for documents and vectors, and one for chats. The package has no batches of writes."""

    PACKAGES = ["llama-index-core", "llama-index-storage-docstore-dynamodb", "llama-index-storage-kvstore-dynamodb",
                "llama-index-storage-chat-store-dynamodb", "llama-index-vector-stores-dynamodb", "boto3", "numpy"]
    VARIABLE, SERVER = "STORE_TEST_DYNAMODB_URL", ["dynamodb.sh", "run"]
    # Its vector store takes no filters, and reads all vectors for each query: for minutes.
    WORKLOADS = {"documents": "D1,D2,D3,D4", "chat": "C1,C2,C3", "vectors": "V1"}
    GOALS = {("D1", "add"): (10, 40), ("D2", "read by id"): (10, 50), ("D3", "list hashes"): (2, None),
             ("D3", "list sources"): (2, None), ("D4", "delete"): (10, None), ("C1", "append"): (10, None),
             ("C2", "read back"): (10, None), ("V1", "add"): (4, 20)}
    GROWTH = 1.1
    # A chat is one item, of 400 KB.
    LONGEST = 1000

    def __init__(self, url, name, _batch):
        import boto3
        parts = urllib.parse.urlsplit(url)
        options = dict(urllib.parse.parse_qsl(parts.query))
        self.settings = {"region_name": parts.hostname}
        if parts.username:
            self.settings |= {"aws_access_key_id": urllib.parse.unquote(parts.username),
                              "aws_secret_access_key": urllib.parse.unquote(parts.password or "")}
        self.endpoint, self.name, self.made = options.get("endpoint_url"), name, []
        self.resource = boto3.resource("dynamodb", endpoint_url=self.endpoint, **self.settings)

    def about(self):
        return "DynamoDB Local" if self.endpoint else f"DynamoDB in {self.settings['region_name']}"

    @staticmethod
    def ours(url):
        """Our side makes its tables itself."""
        return url if "store.create=" in url else f"{url}{'&' if '?' in url else '?'}store.create=true"

    def table(self, name, *keys):
        """A new table, charged by request; the first key parts it, the second orders it."""
        kinds = zip(keys, ("HASH", "RANGE"), strict=False)
        table = self.resource.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in kinds])
        table.wait_until_exists()
        self.made.append(table)
        return table

    def values(self):
        from llama_index.storage.kvstore.dynamodb import DynamoDBKVStore
        return DynamoDBKVStore(self.table(self.name, "collection", "key"))

    def documents(self):
        from llama_index.storage.docstore.dynamodb import DynamoDBDocumentStore
        return DynamoDBDocumentStore(self.values())

    def chat(self):
        from llama_index.storage.chat_store.dynamodb import DynamoDBChatStore
        self.table(f"{self.name}-chats", "SessionId")
        return DynamoDBChatStore(f"{self.name}-chats", resource_kwargs={"endpoint_url": self.endpoint}, **self.settings)

    def vectors(self):
        from llama_index.vector_stores.dynamodb import DynamoDBVectorStore
        return DynamoDBVectorStore(self.values())

    def clear(self):
        for table in self.made:
            table.delete()


class Cassandra(Kind):
    """A keyspace of the run's name. LlamaIndex's package has the vector store alone, whose index is by cosine."""

    PACKAGES = ["llama-index-core", "llama-index-vector-stores-cassandra", "cassio", "cassandra-driver", "numpy"]
    VARIABLE, SERVER = "STORE_TEST_CASSANDRA_URL", ["cassandra.sh", "run", "--large"]
    WORKLOADS = {"vectors": "V1,V2,V3"}
    GOALS = {("V1", "add"): (1.2, 10), ("V2", "query"): (1.8, 20), ("V2", "query, 8 at once"): (1.8, 20),
             ("V3", "filter"): (1.8, 20), ("V3", "filter, 8 at once"): (1.8, 20)}
    # Each side has a graph of its own.
    EXACT = False

    def __init__(self, url, name, _batch):
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import WhiteListRoundRobinPolicy
        parts = urllib.parse.urlsplit(url)
        # One node: the driver warns of a policy that is not named.
        policy = WhiteListRoundRobinPolicy([parts.hostname])
        profile = ExecutionProfile(load_balancing_policy=policy, request_timeout=60)
        self.cluster = Cluster([parts.hostname], port=parts.port or 9042,
                               execution_profiles={EXEC_PROFILE_DEFAULT: profile})
        self.session, self.name = self.cluster.connect(), name

    def about(self):
        [row] = self.session.execute("SELECT release_version FROM system.local")
        return f"Cassandra {row.release_version}, one node"

    @staticmethod
    def ours(url):
        """Our side makes its tables itself."""
        return url if "store.create=" in url else f"{url}{'&' if '?' in url else '?'}store.create=true"

    def vectors(self):
        from llama_index.vector_stores.cassandra import CassandraVectorStore
        self.session.execute(f"CREATE KEYSPACE {self.name} WITH replication = "
                             "{'class': 'SimpleStrategy', 'replication_factor': 1}")
        return CassandraVectorStore(table="vectors", embedding_dimension=DIMENSIONS, session=self.session,
                                    keyspace=self.name)

    def clear(self):
        self.session.execute(f"DROP KEYSPACE IF EXISTS {self.name}")
        self.cluster.shutdown()


# By the name of the backend.
KINDS = {"memory": Memory, "mongodb": MongoDb, "redis": Redis, "dynamodb": DynamoDb, "cassandra": Cassandra}
