public import Foundation
public import StrictJSON

/// A `tokenizer.json` with CLIP's steps, as the tokenizers library writes it.
///
/// - Parameters:
///   - merges: the content of `merges.txt`.
///   - isText: whether each merge is a text, as earlier releases wrote it, or an array of two.
public func tokenizerDocument(_ vocabulary: JSONValue, merges: String, added: [JSONValue] = [], isText: Bool = false)
    -> JSONValue
{
    let lines = merges.split(separator: "\n").filter { !$0.hasPrefix("#version") }
    let rules = lines.map { line -> JSONValue in
        isText ? .string(String(line)) : .array(line.split(separator: " ").map { .string(String($0)) })
    }
    func id(_ token: String) -> JSONValue { vocabulary[token] ?? 0 }
    let expression =
        "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
    return [
        "version": "1.0", "truncation": ["max_length": 77], "padding": ["pad_token": "<|endoftext|>"],
        "added_tokens": .array(added),
        "normalizer": [
            "type": "Sequence",
            "normalizers": [
                ["type": "NFC"], ["type": "Replace", "pattern": ["Regex": "\\s+"], "content": " "], ["type": "Lowercase"],
            ],
        ],
        "pre_tokenizer": [
            "type": "Sequence",
            "pretokenizers": [
                ["type": "Split", "pattern": ["Regex": .string(expression)], "behavior": "Removed", "invert": true],
                ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true],
            ],
        ],
        "post_processor": [
            "type": "RobertaProcessing", "sep": ["<|endoftext|>", id("<|endoftext|>")],
            "cls": ["<|startoftext|>", id("<|startoftext|>")], "trim_offsets": false, "add_prefix_space": false,
        ],
        "decoder": ["type": "ByteLevel"],
        "model": [
            "type": "BPE", "dropout": .null, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": .array(rules),
        ],
    ]
}

/// Replaces `vocab.json` and `merges.txt` in a model's tokenizer folder by one `tokenizer.json`.
public func putTokenizerInOneFile(_ folder: URL) throws {
    let (vocabulary, merges) = (folder.appendingPathComponent("vocab.json"), folder.appendingPathComponent("merges.txt"))
    let ids = try JSONValue(parsing: [UInt8](Data(contentsOf: vocabulary)), limits: .config)
    let document = tokenizerDocument(ids, merges: String(decoding: try Data(contentsOf: merges), as: UTF8.self))
    try Data(document.canonicalBytes()).write(to: folder.appendingPathComponent("tokenizer.json"))
    for file in [vocabulary, merges] { try FileManager.default.removeItem(at: file) }
}
