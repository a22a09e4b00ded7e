import ContentHash
import StrictJSON

/// The name of a model by its content.
///
/// **The files.** `model_index.json`, and for each component that it names as a pair of strings, `["library", "Class"]`:
/// - `unet`, `vae`, `text_encoder`, `text_encoder_2`: `config.json` and the weights that `ModelSource.weights(component:)`
///   opens, which are one `.safetensors` file, or an index and the shards it names;
/// - `tokenizer`, `tokenizer_2`: `vocab.json` and `merges.txt`, and `tokenizer_config.json`, `special_tokens_map.json` and
///   `added_tokens.json` where they are;
/// - `scheduler`: `scheduler_config.json`.
///
/// Nothing else counts: cards, pictures, licences, safety checkers, other variants (`*.fp16.safetensors`), other formats.
///
/// **The hash.** SHA-256 of the line `patchloom-model-1\n`, then for each file, sorted by the bytes of its path below the
/// model's folder: the path, a NUL, the size in decimal, a NUL, the SHA-256 of the content as 64 hexadecimal digits, `\n`.
///
/// **With LoRA files.** SHA-256 of the line `patchloom-lora-1\n`, then the model's own identity as 64 hexadecimal digits and
/// `\n`, then for each file, in the order of merging: the SHA-256 of the file as 64 hexadecimal digits, a NUL, the bits of its
/// scale (f64) as 16 hexadecimal digits, `\n`. What a file is called does not count.
enum ModelIdentity {
    static let weightComponents = ["text_encoder", "text_encoder_2", "unet", "vae"]
    static let tokenizers = ["tokenizer", "tokenizer_2"]

    static func compute(_ source: ModelSource) throws(WeightsError) -> SHA256Digest {
        let hasher = SHA256Hasher()
        hasher.update(Array("patchloom-model-1\n".utf8))
        for path in try files(of: source).sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            // `content` holds the mapping while its bytes are hashed.
            let content = try source.content(path)
            let digest = withExtendedLifetime(content) { SHA256Digest(of: content.bytes) }
            hasher.update(Array("\(path)\0\(content.bytes.count)\0\(digest.hex)\n".utf8))
        }
        return hasher.finalize()
    }

    /// The identity of a model with LoRA files merged into it.
    static func compute(_ base: SHA256Digest, _ loras: LoRAComposition) -> SHA256Digest {
        let hasher = SHA256Hasher()
        hasher.update(Array("patchloom-lora-1\n\(base.hex)\n".utf8))
        for use in loras.uses {
            let bits = String(use.scale.bitPattern, radix: 16)
            let padded = String(repeating: "0", count: 16 - bits.utf8.count) + bits
            hasher.update(Array("\(use.file.digest.hex)\0\(padded)\n".utf8))
        }
        return hasher.finalize()
    }

    /// Paths of the files that count, in no particular order.
    static func files(of source: ModelSource) throws(WeightsError) -> [String] {
        let index = try source.json("model_index.json")
        guard let components = index.objectValue else {
            throw WeightsError(
                .malformed,
                "\(source.location(of: "model_index.json")) holds \(index.kindName), not an object; download it again.")
        }
        func has(_ component: String) -> Bool {
            guard let pair = components[component]?.arrayValue else { return false }
            return pair.count == 2 && pair.allSatisfy { $0.stringValue != nil }
        }
        var paths = ["model_index.json"]
        for component in weightComponents where has(component) {
            paths.append(component + "/config.json")
            paths += try source.weightFiles(component: component).paths
        }
        for tokenizer in tokenizers where has(tokenizer) {
            paths += [tokenizer + "/vocab.json", tokenizer + "/merges.txt"]
            let optional = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
            paths += optional.map { tokenizer + "/" + $0 }.filter { source.exists($0) }
        }
        if has("scheduler") { paths.append("scheduler/scheduler_config.json") }
        return paths
    }
}
