import ArgumentParser
import CommandSupport
import ContentHash
import Requests
import StrictJSON
import Weights

/// `patchloom model verify`
struct ModelVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read all files of models again, compare them with their hashes, and correct what is remembered.",
        discussion: "Other commands know an unchanged file by its size and its times, and read it only once.")

    @Argument(
        help: ArgumentHelp(
            "A model folder, a .safetensors checkpoint, or a stored model by its name or sha256 (default: all stored models, or "
                + "only the LoRA files if a folder of them is given).", valueName: "model"))
    var model: String?

    @OptionGroup var checkpoint: CheckpointOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions

    @Flag(help: "Print JSON.")
    var json = false

    /// A model or LoRA file, and its hash or why it has none.
    private struct Finding {
        var name: String
        var hash: Result<SHA256Digest, CommandFailure>
    }

    func run() throws {
        let digests = DigestMemory.standard.rereading()
        let models = try models(digests)
        let files = try loras.folders(digests).library().allDigests().map { path, digest in
            Finding(
                name: path, hash: digest.map { .success($0) } ?? .failure(CommandFailure(.badInput, "\(path) cannot be read.")))
        }
        let changed = digests.tally.contradicted
        if json {
            let object: JSONValue = [
                "models": .array(models.map { describe($0, "identity") }),
                "loras": .array(files.map { describe($0, "sha256") }),
                "changed": .array(changed.map { .string($0) }),
            ]
            print(object.canonicalText)
        } else {
            printTable((models + files).map { (TerminalText.printable($0.name), line($0)) })
        }
        try report(models + files, changed)
    }

    private func models(_ digests: DigestMemory) throws -> [Finding] {
        if let model {
            let source = try checkpoint.words(digests).open(model)
            return [Finding(name: source.name, hash: .success(try source.identity()))]
        }
        guard checkpoint.words.isPlain else {
            throw CommandFailure(.usage, "Options of a checkpoint need a model; name it, or leave them out.")
        }
        guard loras.folders.paths.isEmpty else { return [] }
        let store = try ModelStore.standard(digests)
        return try store.models().map { stored in
            let hash = Result { () throws(WeightsError) in
                _ = try store.open(stored)
                return stored.identity
            }
            return Finding(name: stored.reference, hash: hash.mapError(\.failure))
        }
    }

    private func describe(_ finding: Finding, _ key: String) -> JSONValue {
        switch finding.hash {
        case .success(let hash): ["name": .string(finding.name), key: .string(hash.hex)]
        case .failure(let error): ["name": .string(finding.name), "damaged": .string(error.message)]
        }
    }

    private func line(_ finding: Finding) -> String {
        switch finding.hash {
        case .success(let hash): hash.hex
        case .failure(let error): TerminalText.printable(error.message)
        }
    }

    /// The one error of all findings, if there is one.
    private func report(_ findings: [Finding], _ changed: [String]) throws {
        let damaged = findings.compactMap { finding in
            if case .failure(let error) = finding.hash { (finding.name, error) } else { nil }
        }
        if damaged.count == 1 { throw damaged[0].1 }
        if damaged.count > 1 {
            let names = damaged.map(\.0).joined(separator: ", ")
            throw CommandFailure(
                .badInput, "\(damaged.count) of \(findings.count) cannot be used: \(names); import or download them again.")
        }
        guard let first = changed.first else { return }
        let more = changed.count > 1 ? " and \(changed.count - 1) more" : ""
        throw CommandFailure(
            .badInput,
            "\(first)\(more) changed since the last reading, although size and times are the same; the new hash is known from now "
                + "on: download the file again unless you know who changed it.")
    }
}
