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

    /// A model or LoRA file, and its hash or the reason why it has none.
    private struct Finding {
        var name: String
        var hash: Result<SHA256Digest, CommandFailure>
        /// Files of a stored model.
        var damages: [StoredDamage] = []
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
                "changed": .array(changed.map(describe)),
            ]
            print(object.canonicalText)
        } else {
            let changes = changed.map { ($0.path, "changed: remembered \($0.remembered.hex), found \($0.found.hex)") }
            printTable(((models + files).flatMap(lines) + changes).map { (TerminalText.printable($0), $1) })
        }
        try report(models + files, changed.map(\.path))
    }

    private func models(_ digests: DigestMemory) throws -> [Finding] {
        if let model {
            do {
                let source = try checkpoint.words(digests).open(model)
                return [Finding(name: source.name, hash: .success(try source.identity()))]
            } catch let error as any CommandError {
                guard !ModelStore.isPath(model), let store = try? ModelStore.standard(digests),
                    let stored = try? store.find(model)
                else { throw error }
                let finding = finding(stored, error.failure, store)
                guard !finding.damages.isEmpty else { throw error }
                return [finding]
            }
        }
        guard checkpoint.words.isPlain else {
            throw CommandFailure(.usage, "Options of a checkpoint need a model; name it, or leave them out.")
        }
        guard loras.folders.paths.isEmpty else { return [] }
        let store = try ModelStore.standard(digests)
        let names = try store.damagedNames().map { Finding(name: $0, hash: .failure(store.damaged(name: $0).failure)) }
        return try names
            + store.models().map { stored -> Finding in
                do throws(WeightsError) {
                    _ = try store.open(stored)
                    return Finding(name: stored.reference, hash: .success(stored.identity))
                } catch {
                    return finding(stored, error.failure, store)
                }
            }
    }

    /// A stored model that cannot be opened, with all its damaged files.
    private func finding(_ stored: StoredModel, _ failure: CommandFailure, _ store: ModelStore) -> Finding {
        let damages = (try? store.damages(of: stored)) ?? []
        guard let first = damages.first else { return Finding(name: stored.reference, hash: .failure(failure)) }
        let more = damages.count > 1 ? " and \(damages.count - 1) more" : ""
        let sentence =
            "The stored file \(first.file)\(more) of \(stored.reference) is damaged (\(first.path): \(digests(of: first))); "
            + "import the model again."
        return Finding(name: stored.reference, hash: .failure(CommandFailure(.badInput, sentence)), damages: damages)
    }

    private func digests(of damage: StoredDamage) -> String {
        "expected \(damage.expected.hex), found \(damage.found?.hex ?? "no file that can be read")"
    }

    private func describe(_ finding: Finding, _ key: String) -> JSONValue {
        switch finding.hash {
        case .success(let hash): return ["name": .string(finding.name), key: .string(hash.hex)]
        case .failure(let error):
            let files = finding.damages.map { damage -> JSONValue in
                [
                    "file": .string(damage.file), "path": .string(damage.path), "expected": .string(damage.expected.hex),
                    "found": damage.found.map { .string($0.hex) } ?? .null,
                ]
            }
            return ["name": .string(finding.name), "damaged": .string(error.message), "files": .array(files)]
        }
    }

    private func describe(_ change: DigestMemory.Contradiction) -> JSONValue {
        [
            "path": .string(change.path), "remembered": .string(change.remembered.hex), "found": .string(change.found.hex),
        ]
    }

    private func lines(_ finding: Finding) -> [(String, String)] {
        switch finding.hash {
        case .success(let hash): return [(finding.name, hash.hex)]
        case .failure(let error):
            guard !finding.damages.isEmpty else { return [(finding.name, TerminalText.printable(error.message))] }
            return finding.damages.map {
                (finding.name, "damaged: \(TerminalText.printable($0.path)), \(digests(of: $0)), in \($0.file)")
            }
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
