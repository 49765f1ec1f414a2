"""The pipelines that LlamaIndex's MongoDBAtlasVectorSearch sends for queries, a JSON list of them, as a JSON list."""

import json
import sys

from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryMode
from llama_index.vector_stores.mongodb import MongoDBAtlasVectorSearch
from pymongo import AsyncMongoClient, MongoClient


class Recorder:
    """A collection that only notes what is sent."""

    name = "default_collection"

    def __init__(self):
        self.pipelines = []

    def aggregate(self, pipeline):
        self.pipelines.append(pipeline)
        return []


# No server: nothing is sent.
nobody = {"host": "mongodb://127.0.0.1:1/", "serverSelectionTimeoutMS": 1}
store = MongoDBAtlasVectorSearch(MongoClient(**nobody), async_mongodb_client=AsyncMongoClient(**nobody))
store._collection = Recorder()
for query in json.loads(sys.argv[1]):
    filters = query.pop("filters", None)
    query["mode"] = VectorStoreQueryMode(query["mode"])
    store.query(VectorStoreQuery(**query, filters=filters and MetadataFilters.model_validate(filters)))
json.dump(store._collection.pipelines, sys.stdout)
