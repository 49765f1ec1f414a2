"""Nodes, chat messages and index structs as the real llama-index-core writes and reads them.

    interop.py write-nodes SEED COUNT      random nodes, one record per line
    interop.py read-nodes                  one record per node JSON on stdin
    interop.py write-messages SEED COUNT   random chat messages, one JSON per line
    interop.py read-messages               each message of stdin, as Python writes it again
    interop.py write-structs SEED COUNT    random index structs, one stored JSON per line
    interop.py read-structs                each struct of stdin, as Python writes it again
    interop.py values SEED COUNT           random values with their str() and json.dumps(), and the Unicode tables

Every line of output is one JSON text in ASCII.
"""

import base64
import json
import random
import struct
import sys
import unicodedata

from llama_index.core.base.llms import types as chat
from llama_index.core.data_structs import data_structs
from llama_index.core.data_structs.document_summary import IndexDocumentSummary
from llama_index.core.schema import (
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from llama_index.core.storage.index_store.utils import index_struct_to_json, json_to_index_struct
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

PIECES = [
    "wine", "Tokaj", "Zażółć", "日本語", "🚀", "👩\u200d🔬", "it's", 'say "x"', "\\", "\n", "\r\t", "{key}", "{{", "}", "%s",
    "\x00", "\x1f", "\x7f", "\x85", "\xa0", "\xad", "\u200b", "\u2028", "\u3000", "\ufeff", "\ue000", "\U000f0000",
    "\U0010ffff", "\U000e0001", " ", "  ", "e\u0301", "\u0627\u0644", "\x1c",
]
FLOATS = [0.0, -0.0, 1.0, 2.0, 0.1, 1e-4, 9.99e-5, 1e-7, 1e15, 1e16, 1e22, 5e-324, 1.7976931348623157e308, 9007199254740993.0]
INTEGERS = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")


def lines():
    sys.stdin.reconfigure(encoding="utf-8", newline="\n")
    return (line for line in sys.stdin if line.strip())


class Random(random.Random):
    def text(self, most=6):
        parts = []
        for _ in range(self.randint(0, most)):
            if self.random() < 0.8:
                parts.append(self.choice(PIECES))
            else:
                char = chr(self.randrange(0x110000))
                if unicodedata.category(char) not in ("Cn", "Cs"):
                    parts.append(char)
        return "".join(parts)

    def number(self):
        kind = self.randrange(4)
        if kind == 0:
            return self.choice(INTEGERS)
        if kind == 1:
            return self.randint(-1000, 1000)
        if kind == 2:
            return self.choice(FLOATS)
        return self.float()

    def float(self):
        if self.random() < 0.5:
            # Often half way between two shortest texts.
            return self.randrange(2**53) / 2 ** self.randrange(8)
        while True:
            (value,) = struct.unpack("<d", self.randbytes(8))
            if value - value == 0.0:
                return value

    def value(self, depth=3):
        kind = self.randrange(8 if depth else 5)
        if kind == 0:
            return self.choice([None, True, False])
        if kind in (1, 2):
            return self.number()
        if kind in (3, 4):
            return self.text()
        if kind == 5:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return self.object(depth - 1)

    def object(self, depth=3):
        return {self.text(2): self.value(depth) for _ in range(self.randrange(5))}

    def vector(self):
        return [self.choice(FLOATS) if self.random() < 0.3 else self.uniform(-1, 1) for _ in range(self.randrange(5))]

    def related(self):
        return RelatedNodeInfo(
            node_id=self.text() or "x",
            node_type=self.choice([None, "1", "2", "3", "4", "5", "custom"]),
            metadata=self.object(1),
            hash=self.choice([None, "h", self.text()]),
        )

    def relationships(self):
        kinds = self.sample(list(NodeRelationship), self.randrange(6))
        return {kind: self.links(kind) for kind in kinds}

    def links(self, kind):
        if (kind == NodeRelationship.CHILD) == (self.random() < 0.9):
            return [self.related() for _ in range(self.randrange(3))]
        return self.related()

    def url(self):
        return self.choice(["https://h", "http://Ex.org:80/a b?q='ü#f", "s3://Bucket/k", "https://a/b/../c", "data:text/plain,x y"])

    def resource(self):
        if self.random() < 0.4:
            return None
        return MediaResource(
            embeddings=self.choice([None, {}, {"dense": self.vector()}, {"sparse": self.vector(), "dense": self.vector()}]),
            text=self.choice([None, "", self.text()]),
            path=self.choice([None, "a//b/./c.png", "x.tar.gz", "", "/", "//net/x", "é.mp3", "dir/"]),
            url=self.choice([None, self.url()]),
            mimetype=self.choice([None, "x/y"]),
        )

    def head(self):
        metadata = self.object()
        keys = list(metadata) + ["missing"]
        head = {
            "id_": self.text() or "id",
            "embedding": self.choice([None, self.vector()]),
            "metadata": metadata,
            "excluded_embed_metadata_keys": self.sample(keys, self.randint(0, len(keys))),
            "excluded_llm_metadata_keys": self.sample(keys, self.randint(0, len(keys))),
            "relationships": self.relationships(),
        }
        if self.random() < 0.5:
            head["metadata_template"] = self.choice(["{key}={value}", "{value}", "{{{key}}} {value}\n", " ", "\u3000{value}\x1f"])
            head["metadata_separator"] = self.choice([" | ", "", "\n\n", "{key}"])
            head["text_template"] = self.choice(["{content}\n{metadata_str}", " {metadata_str} {content} ", "{{}}{content}", "\x1c"])
        return head

    def node(self, nested=True):
        kind = self.randrange(6) if nested else self.choice([0, 1, 3, 4, 5])
        head = self.head()
        if kind < 3:
            head.update(
                text=self.text(),
                mimetype=self.choice(["text/plain", "text/markdown"]),
                start_char_idx=self.choice([None, 0, 7]),
                end_char_idx=self.choice([None, 2**40]),
            )
        if kind == 0:
            return TextNode(**head)
        if kind == 1:
            return ImageNode(
                **head,
                image=self.choice([None, "", "aGVsbG8="]),
                image_path=self.choice([None, "", "a/b.png", "b.jpeg", "c.d/e"]),
                image_url=self.choice([None, self.url()]),
                image_mimetype=self.choice([None, "", "image/x"]),
                text_embedding=self.choice([None, self.vector()]),
            )
        if kind == 2:
            obj = self.choice([None, self.text(), self.value(2), self.node(False)])
            return IndexNode(**head, index_id=self.text(), obj=obj)
        resources = {f"{name}_resource": self.resource() for name in ("text", "image", "audio", "video")}
        if kind == 3:
            return Node(**head, **resources)
        if kind == 4:
            if self.random() < 0.5:
                return Document(**head, text=self.text())
            return Document(**head, **resources)
        if self.random() < 0.5:
            return ImageDocument(**head, text=self.text(), image=base64.b64encode(self.randbytes(9)).decode())
        return ImageDocument(**head, **resources)

    def message(self):
        role = self.choice(list(chat.MessageRole))
        blocks = [self.block(self.randrange(10)) for _ in range(self.randrange(5))]
        return chat.ChatMessage(role=role, additional_kwargs=self.object(), blocks=blocks)

    def block(self, kind):
        data = self.choice([None, self.randbytes(5), b"aGVsbG8="])
        url = self.choice([None, "https://example.org/a.png"])
        if kind == 0:
            return chat.TextBlock(text=self.text())
        if kind == 1:
            return chat.ImageBlock(image=data, url=url, image_mimetype=self.choice([None, "image/png"]), detail=self.choice([None, "low"]))
        if kind == 2:
            return chat.AudioBlock(audio=data, url=url, format=self.choice([None, "mp3"]))
        if kind == 3:
            return chat.VideoBlock(video=data, url=url, video_mimetype=self.choice([None, "video/mp4"]), fps=self.choice([None, 25]))
        if kind == 4:
            return chat.DocumentBlock(data=data, path=self.choice([None, "no/such.pdf"]), url=url, title=self.choice([None, "", self.text()]))
        if kind == 5:
            return chat.CachePoint(cache_control=chat.CacheControl(type="ephemeral", **self.choice([{}, {"ttl": "1h"}])))
        if kind == 6:
            content = self.choice([self.text(), [self.block(self.choice([0, 1, 4])) for _ in range(self.randrange(3))]])
            return chat.CitableBlock(title=self.text(), source=self.text(), content=content)
        if kind == 7:
            content = self.choice([self.text(), [self.block(0)], self.block(1)])
            return chat.CitationBlock(cited_content=content, source=self.text(), title=self.text(), additional_location_info={self.text(): self.choice(INTEGERS)})
        if kind == 8:
            return chat.ThinkingBlock(content=self.choice([None, self.text()]), num_tokens=self.choice([None, 7]), additional_information=self.object())
        return chat.ToolCallBlock(tool_call_id=self.choice([None, "c1"]), tool_name=self.text(), tool_kwargs=self.choice([self.object(), self.text()]))

    def index_struct(self):
        head = {"index_id": self.text() or "i", "summary": self.choice([None, self.text()])}
        ids = [self.text() or "n" for _ in range(self.randrange(5))]
        table = {self.text(): set(ids) for _ in range(self.randrange(3))}
        numbered = dict(enumerate(ids))
        return self.choice([
            data_structs.IndexDict(**head, nodes_dict={i: i for i in ids}, embeddings_dict={"v": self.vector()}),
            data_structs.MultiModelIndexDict(**head, nodes_dict={i: i for i in ids}),
            data_structs.IndexList(**head, nodes=ids),
            data_structs.IndexGraph(**head, all_nodes=numbered, root_nodes=numbered, node_id_to_children_ids={i: ids for i in ids}),
            data_structs.KeywordTable(**head, table=table),
            data_structs.KG(**head, table=table, rel_map={"a": [["b", "c"]]}, embedding_dict={"t": self.vector()}),
            data_structs.IndexLPG(**head),
            data_structs.EmptyIndexStruct(**head),
            IndexDocumentSummary(**head, summary_id_to_node_ids={"s": ids}, node_id_to_summary_id={i: "s" for i in ids}, doc_id_to_summary_id={"d": "s"}),
        ])


def stored(node):
    # Without the default a URL can not be written: a known fault of the package.
    return json.dumps(doc_to_json(node), default=str)


def record(text):
    """What Python makes of a stored node."""
    node = json_to_doc(json.loads(text))
    try:
        metadata = node_to_metadata_dict(node, remove_text=True)
        from_metadata = stored(metadata_dict_to_node(metadata, text="the text"))
    except ValueError:  # a list stands in the source relationship
        metadata = from_metadata = None
    return {
        "json": text,
        "again": stored(node),
        "hash": node.hash,
        "content": {mode.value: node.get_content(metadata_mode=mode) for mode in MetadataMode},
        "metadata_str": {mode.value: node.get_metadata_str(mode) for mode in MetadataMode},
        "vector_metadata": metadata and json.dumps(metadata),
        "from_vector_metadata": from_metadata,
        "unassigned": any(unicodedata.category(c) == "Cn" for c in json.dumps(json.loads(text), ensure_ascii=False)),
    }


def ranges(test):
    """The code points for which a test holds, as [first, last] pairs."""
    found = []
    for code in range(0x110000):
        if 0xD800 <= code <= 0xDFFF or not test(chr(code)):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def main(command, *arguments):
    seed, count = ([int(argument) for argument in arguments] + [0, 0])[:2]
    source = Random(seed)
    if command == "write-nodes":
        for _ in range(count):
            say(record(stored(source.node())))
    elif command == "read-nodes":
        for line in lines():
            say(record(line))
    elif command == "write-messages":
        for _ in range(count):
            say(json.loads(source.message().model_dump_json()))
    elif command == "read-messages":
        for line in lines():
            message = chat.ChatMessage.model_validate(json.loads(line))
            say({"json": json.loads(message.model_dump_json()), "text": message.content})
    elif command == "write-structs":
        for _ in range(count):
            say(index_struct_to_json(source.index_struct()))
    elif command == "read-structs":
        for line in lines():
            say(index_struct_to_json(json_to_index_struct(json.loads(line))))
    elif command == "values":
        say({
            "unassigned": ranges(lambda c: unicodedata.category(c) == "Cn"),
            "printable": ranges(str.isprintable),
            "space": ranges(str.isspace),
        })
        for _ in range(count):
            value = source.value()
            say({"str": str(value), "ascii": json.dumps(value), "utf8": json.dumps(value, ensure_ascii=False)})
        for word in ("NaN", "Infinity", "-Infinity"):
            say({"str": "None", "ascii": json.dumps([float(word), "\ud800", -0.0]), "utf8": None})
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
