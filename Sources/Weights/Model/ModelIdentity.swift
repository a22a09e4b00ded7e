import ContentHash
import Sentences
import StrictJSON

/// The name of a model by its content.
///
/// **The files.** `model_index.json`, which must name every component that is loaded, and for each component that it names as a
/// pair of strings, `["library", "Class"]`:
/// - `unet`, `vae`, `text_encoder`, `text_encoder_2`: `config.json` and the weights that `ModelSource.weights(component:)`
///   opens: one `.safetensors` file, or an index and its shards, of a variant such as `fp16` if the user asks for it or there
///   is no other;
/// - `tokenizer`, `tokenizer_2`: `vocab.json` and `merges.txt`, or `tokenizer.json` if one of these two is missing; and
///   `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` if they exist;
/// - `scheduler`: `scheduler_config.json`.
///
/// Other files do not count: cards, pictures, licences, safety checkers, other variants and formats of the same weights.
///
/// **The hash** of a folder. SHA-256 of the line `patchloom-model-1\n`, then for each file, sorted by the bytes of its path
/// below the model's folder: the path, a NUL, the size in decimal, a NUL, the SHA-256 of the content as 64 hexadecimal digits,
/// `\n`.
///
/// **Other models**: a single-file checkpoint, or a model with another autoencoder or scheduler setting than its own. The line
/// is `patchloom-model-2\n`, derived or given configuration and tokenizer files replace the model's, and weights in a single
/// file have the path `checkpoint` (`vae` for a separate autoencoder). So the identity covers everything that decides a result,
/// and no file name.
///
/// **With LoRA files.** SHA-256 of the line `patchloom-lora-1\n`, then the model's own identity as 64 hexadecimal digits and
/// `\n`, then for each file, in the order of merging: the SHA-256 of the file as 64 hexadecimal digits, a NUL, the bits of its
/// scale (f64) as 16 hexadecimal digits, `\n`. With two scales the second, of the text encoders, follows the first, of the
/// U-Net, after another NUL. File names do not count.
enum ModelIdentity {
    static let weightComponents = ModelFamily.textEncoders + ["unet", "vae"]

    static func compute(_ source: ModelSource) throws(WeightsError) -> SHA256Digest {
        var files = try source.usedWeights()
        for path in try configurationFiles(of: source) { files[path] = try source.content(path) }
        FileBytes.prepareDigests(of: files.values)
        let hasher = SHA256Hasher()
        hasher.update(Array("patchloom-model-\(source.isPlain ? 1 : 2)\n".utf8))
        for (path, content) in files.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            hasher.update(Array("\(path)\0\(content.bytes.count)\0\(content.digest().hex)\n".utf8))
        }
        return hasher.finalize()
    }

    /// The identity of a model with LoRA files merged into it.
    static func compute(_ base: SHA256Digest, _ loras: LoRAComposition) -> SHA256Digest {
        let hasher = SHA256Hasher()
        hasher.update(Array("patchloom-lora-1\n\(base.hex)\n".utf8))
        for use in loras.uses {
            let numbers = use.scale.single.map { [$0] } ?? use.scale.numbers
            let bits = numbers.map { number in
                let digits = String(number.bitPattern, radix: 16)
                return String(repeating: "0", count: 16 - digits.utf8.count) + digits
            }
            hasher.update(Array("\(use.file.digest.hex)\0\(bits.joined(separator: "\0"))\n".utf8))
        }
        return hasher.finalize()
    }

    /// The components that `model_index.json` names. It must name all that a render needs, as the identity covers no others.
    ///
    /// Throws `.unsupportedModel` for unsupported pipelines and for SDXL's refiner, which has only the second text encoder, and
    /// `.malformed` with a missing component.
    static func components(of source: ModelSource) throws(WeightsError) -> Set<String> {
        _ = try PipelineClass(source)
        let index = try source.object("model_index.json")
        func has(_ component: String) -> Bool {
            guard let pair = index[component]?.arrayValue else { return false }
            return pair.count == 2 && pair.allSatisfy { $0.stringValue != nil }
        }
        if !has("text_encoder"), has("text_encoder_2"), !source.exists("text_encoder/config.json") {
            throw .unsupportedModel("\(source.name) is an SDXL refiner, which is not supported: choose an SDXL base model.")
        }
        let family = try source.family()
        let others = zip(family.textEncoders, family.tokenizers).dropFirst().flatMap { [$0, $1] }
        for component in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] + others where !has(component) {
            throw .malformed(
                "\(source.location(of: "model_index.json")) names no \(component), which the model needs; use the model's own "
                    + "model_index.json.")
        }
        return Set((weightComponents + ModelFamily.tokenizers + ["scheduler"]).filter(has))
    }

    static func configurationFiles(of source: ModelSource) throws(WeightsError) -> [String] {
        let components = try components(of: source)
        var paths = ["model_index.json"]
        paths += weightComponents.filter(components.contains).map { $0 + "/config.json" }
        for tokenizer in ModelFamily.tokenizers where components.contains(tokenizer) {
            paths += try source.tokenizerFiles(tokenizer).map { tokenizer + "/" + $0 }
        }
        if components.contains("scheduler") { paths.append("scheduler/scheduler_config.json") }
        return paths
    }
}

extension ModelSource {
    /// The files in the folder of a tokenizer that count and are read: `vocab.json` and `merges.txt`, or `tokenizer.json` if
    /// one of these two is missing; and the configurations that exist. Throws `.notFound` with the missing files.
    public func tokenizerFiles(_ folder: String) throws(WeightsError) -> [String] {
        func has(_ name: String) -> Bool { exists("\(folder)/\(name)") }
        let separate = ["vocab.json", "merges.txt"]
        let missing = separate.filter { !has($0) }
        let optional = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"].filter(has)
        if missing.isEmpty { return separate + optional }
        if has("tokenizer.json") { return ["tokenizer.json"] + optional }
        let paths = missing.map { location(of: "\(folder)/\($0)") }.joined(separator: " and ")
        throw .notFound(
            "\(paths) \(missing.count == 1 ? "is" : "are") not there, nor a tokenizer.json, which would do instead; download the "
                + "tokenizer again.")
    }
}
