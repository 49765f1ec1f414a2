"""LlamaIndex's stores, one class for each kind of server: `space` is the namespace that our side is opened with.

What is not there is made by whoever comes first, as in life: so each class makes what a user of LlamaIndex makes by hand.
"""

import importlib.metadata
import json
import math
import os
import urllib.parse
from functools import cached_property

DIMENSIONS = 3


def version(_package):
    """Some packages ask for the version of the package `llama-index`, which only collects others."""
    return importlib.metadata.version("llama-index-core")


class Space:
    """Where a namespace is a place of its own, names are as they are."""

    @staticmethod
    def collection(name):
        return name

    @staticmethod
    def session(name):
        return name

    @staticmethod
    def cosine(similarity):
        """What a query calls similarity, as the cosine."""
        return similarity

    def done(self):
        """After each request."""

    def close(self):
        pass


class MongoDb(Space):
    """The namespace is the database."""

    def __init__(self, url, space):
        from pymongo import MongoClient
        self.url, self.space, self.client = url, space, MongoClient(url, w="majority")

    @cached_property
    def kv(self):
        from llama_index.storage.kvstore.mongodb import MongoDBKVStore
        return MongoDBKVStore(self.client, db_name=self.space)

    @cached_property
    def docs(self):
        from llama_index.storage.docstore.mongodb import MongoDocumentStore
        return MongoDocumentStore(self.kv)

    @cached_property
    def index(self):
        from llama_index.storage.index_store.mongodb import MongoIndexStore
        return MongoIndexStore(self.kv)

    @cached_property
    def chat(self):
        from llama_index.storage.chat_store.mongo import MongoChatStore, base
        base.version = version
        return MongoChatStore(mongo_client=self.client, mongo_uri=self.url, db_name=self.space)

    def write_message(self, session, message):
        sessions = self.client[self.space]["sessions"]
        sessions.insert_one({"session_id": session, "index": sessions.count_documents({"session_id": session}),
                             "message": message})

    @cached_property
    def vectors(self):
        from llama_index.vector_stores.mongodb import MongoDBAtlasVectorSearch
        from pymongo import AsyncMongoClient
        store = MongoDBAtlasVectorSearch(self.client, async_mongodb_client=AsyncMongoClient(self.url), db_name=self.space)
        store._collection = AtlasStandIn(store._collection)
        return store

    @staticmethod
    def cosine(similarity):
        """Atlas' score is between 0 and 1."""
        return 2 * similarity - 1

    def close(self):
        self.client.close()


class AtlasStandIn:
    """The collection of a plain server, where $vectorSearch is done here, over all that the server's filter leaves: the
    pipeline that the package sends is taken, and what it makes of the documents is its own."""

    def __init__(self, collection):
        self.collection = collection

    def __getattr__(self, name):
        return getattr(self.collection, name)

    def aggregate(self, pipeline):
        search, score = pipeline
        if score != {"$set": {"score": {"$meta": "vectorSearchScore"}}}:
            raise ValueError(f"not the pipeline that is known: {pipeline}")
        search = search["$vectorSearch"]
        wanted, path = search["queryVector"], search["path"]
        rows = [row | {"score": (1 + cosine(row[path], wanted)) / 2} for row in self.collection.find(search["filter"])]
        return sorted(rows, key=lambda row: -row["score"])[:search["limit"]]


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


class Redis(Space):
    """Keys begin with the namespace."""

    def __init__(self, url, space):
        self.url, self.space = url, space

    def collection(self, name):
        return f"{self.space}:{name}"

    def session(self, name):
        return f"{self.space}:chat:{name}"

    @cached_property
    def client(self):
        from redis import Redis as Client
        return Client.from_url(self.url)

    @cached_property
    def kv(self):
        from llama_index.storage.kvstore.redis import RedisKVStore
        return RedisKVStore(self.url)

    @cached_property
    def docs(self):
        from llama_index.storage.docstore.redis import RedisDocumentStore
        return RedisDocumentStore(self.kv, namespace=f"{self.space}:docstore")

    @cached_property
    def index(self):
        from llama_index.storage.index_store.redis import RedisIndexStore
        return RedisIndexStore(self.kv, namespace=f"{self.space}:index_store")

    @cached_property
    def chat(self):
        from llama_index.storage.chat_store.redis import RedisChatStore
        return RedisChatStore(redis_url=self.url)

    def write_message(self, session, message):
        self.client.rpush(session, json.dumps(message))

    @cached_property
    def vectors(self):
        """A user who filters names the fields in the schema."""
        from llama_index.vector_stores.redis import RedisVectorStore
        from redisvl.schema import IndexSchema
        vector = {"dims": DIMENSIONS, "algorithm": "flat", "distance_metric": "cosine"}
        fields = [{"name": "id", "type": "tag"}, {"name": "doc_id", "type": "tag"}, {"name": "text", "type": "text"},
                  {"name": "vector", "type": "vector", "attrs": vector},
                  {"name": "tag", "type": "tag"}, {"name": "year", "type": "numeric"}]
        name = f"{self.space}:llama_index"
        index = {"name": name, "prefix": f"{name}/vector", "key_separator": "_"}
        return RedisVectorStore(IndexSchema.from_dict({"index": index, "fields": fields}), redis_url=self.url)


class DynamoDb(Space):
    """The namespace ends the name of the table, and its chats are in another beside it."""

    def __init__(self, url, space):
        import boto3
        parts = urllib.parse.urlsplit(url)
        options = dict(urllib.parse.parse_qsl(parts.query))
        self.table = f"{parts.path.strip('/') or 'nodestore'}.{space}"
        self.endpoint = options["endpoint_url"]
        self.settings = {"region_name": parts.hostname, "aws_access_key_id": parts.username,
                         "aws_secret_access_key": parts.password}
        self.resource = boto3.resource("dynamodb", endpoint_url=self.endpoint, **self.settings)

    def there(self, name, *keys):
        """The table; made if it is not there. The first key parts it, the second orders it."""
        table, missing = self.resource.Table(name), self.resource.meta.client.exceptions.ResourceNotFoundException
        try:
            table.load()
        except missing:
            kinds = zip(keys, ("HASH", "RANGE"), strict=False)
            table = self.resource.create_table(
                TableName=name, BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in kinds])
            table.wait_until_exists()
        return table

    @cached_property
    def kv(self):
        from llama_index.storage.kvstore.dynamodb import DynamoDBKVStore
        return DynamoDBKVStore(self.there(self.table, "collection", "key"))

    @cached_property
    def docs(self):
        from llama_index.storage.docstore.dynamodb import DynamoDBDocumentStore
        return DynamoDBDocumentStore(self.kv)

    @cached_property
    def index(self):
        from llama_index.storage.index_store.dynamodb import DynamoDBIndexStore
        return DynamoDBIndexStore(self.kv)

    @cached_property
    def chat(self):
        from llama_index.storage.chat_store.dynamodb import DynamoDBChatStore
        name = self.there(f"{self.table}-chats", "SessionId").name
        return DynamoDBChatStore(name, resource_kwargs={"endpoint_url": self.endpoint}, **self.settings)

    def write_message(self, session, message):
        table = self.there(f"{self.table}-chats", "SessionId")
        found = table.get_item(Key={"SessionId": session}).get("Item", {})
        table.put_item(Item={"SessionId": session, "History": [*found.get("History", []), message]})

    @cached_property
    def vectors(self):
        from llama_index.vector_stores.dynamodb import DynamoDBVectorStore
        return DynamoDBVectorStore(self.kv)


class Cassandra(Space):
    """The namespace begins the name of the table."""

    def __init__(self, url, space):
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import WhiteListRoundRobinPolicy
        parts = urllib.parse.urlsplit(url)
        # One node: the driver warns of a policy that is not named.
        policy = WhiteListRoundRobinPolicy([parts.hostname])
        profile = ExecutionProfile(load_balancing_policy=policy, request_timeout=60)
        self.cluster = Cluster([parts.hostname], port=parts.port or 9042,
                               execution_profiles={EXEC_PROFILE_DEFAULT: profile})
        self.cql, self.space = self.cluster.connect(), space
        self.keyspace = parts.path.strip("/") or "nodestore"

    @cached_property
    def vectors(self):
        from llama_index.vector_stores.cassandra import CassandraVectorStore
        self.cql.execute(f"CREATE KEYSPACE IF NOT EXISTS {self.keyspace} WITH replication = "
                              "{'class': 'SimpleStrategy', 'replication_factor': 1}")
        return CassandraVectorStore(table=f"{self.space}_vectors", embedding_dimension=DIMENSIONS,
                                    session=self.cql, keyspace=self.keyspace)

    def close(self):
        self.cluster.shutdown()


class Folder(Space):
    """A folder that StorageContext persisted: read before each request and written after it. The URL is where it is."""

    def __init__(self, url, space):
        self.folder, self.context = os.path.join(url, space), None

    def read(self):
        from llama_index.core import StorageContext
        there = self.folder if os.path.exists(self.folder) else None
        self.context = StorageContext.from_defaults(persist_dir=there)
        return self.context

    @property
    def docs(self):
        return self.read().docstore

    @property
    def index(self):
        return self.read().index_store

    def done(self):
        self.context.persist(self.folder)


KINDS = {"mongodb": MongoDb, "redis": Redis, "dynamodb": DynamoDb, "cassandra": Cassandra, "folder": Folder}
