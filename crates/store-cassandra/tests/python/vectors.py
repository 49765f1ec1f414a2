"""LlamaIndex's CassandraVectorStore on a node; prints JSON.

    vectors.py HOST:PORT KEYSPACE TABLE DIMENSIONS add NODES
    vectors.py HOST:PORT KEYSPACE TABLE DIMENSIONS query QUERIES
    vectors.py HOST:PORT KEYSPACE TABLE DIMENSIONS delete SOURCE

NODES is a list of {"id", "text", "metadata", "source", "embedding"}. QUERIES is a list of {"embedding", "k", "filters",
"mode", "threshold"}, all but the first two may be absent; it prints a list for each, of nodes with their scores.
"""

import json
import sys

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import WhiteListRoundRobinPolicy
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.cassandra import CassandraVectorStore

place, keyspace, table, dimensions, command, given = sys.argv[1:]
host, port = place.rsplit(":", 1)
profile = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([host]), request_timeout=60)
cluster = Cluster([host], port=int(port), execution_profiles={EXEC_PROFILE_DEFAULT: profile})
session = cluster.connect()
store = CassandraVectorStore(table=table, embedding_dimension=int(dimensions), session=session, keyspace=keyspace)


def node(row):
    made = TextNode(id_=row["id"], text=row["text"], metadata=row["metadata"], embedding=row["embedding"])
    if row.get("source"):
        made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=row["source"])
    return made


def answer(query):
    wanted = query.get("filters")
    filters = wanted and MetadataFilters(filters=[ExactMatchFilter(key=key, value=value) for key, value in wanted.items()])
    mode = VectorStoreQueryMode(query.get("mode", "default"))
    asked = VectorStoreQuery(query_embedding=query["embedding"], similarity_top_k=query["k"], filters=filters, mode=mode,
                             mmr_threshold=query.get("threshold"))
    found = store.query(asked)
    return [{"id": one.node_id, "text": one.text, "metadata": one.metadata, "source": one.ref_doc_id, "score": score}
            for one, score in zip(found.nodes, found.similarities, strict=True)]


if command == "add":
    print(json.dumps(store.add([node(row) for row in json.loads(given)])))
elif command == "query":
    print(json.dumps([answer(query) for query in json.loads(given)]))
else:
    store.delete(given)
    print("null")
cluster.shutdown()
