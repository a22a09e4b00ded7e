import ArgumentParser
import CommandSupport
import ContentHash
import Rendering
import Requests
import StrictJSON
import Weights

/// `patchloom model`: describes models and manages the store of this host.
struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Look into models, and keep them by name in this host's store.",
        subcommands: [
            ModelImportCommand.self, ModelListCommand.self, ModelInspectCommand.self, ModelVerifyCommand.self,
            ModelRemoveCommand.self, ModelPruneCommand.self,
        ])
}

/// `patchloom model import`
struct ModelImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Put a model into the store, under a name for -m.")

    @Argument(help: ArgumentHelp("A model folder or a .safetensors checkpoint.", valueName: "path"))
    var path: String

    @Option(help: "The name it will have.")
    var name: String

    @OptionGroup var checkpoint: CheckpointOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let choice = try checkpoint.words.choice(path)
        // A model that cannot be rendered is refused now, not at its first use.
        let stored = try ModelStore.standard(.standard).importModel(choice, name: name) { source in
            let model = try ModelDescription(source: source.ignoringUnknownTensors(choice.ignoresUnknownTensors))
            noteOddities(model, ignoresUnknownTensors: choice.ignoresUnknownTensors)
        }
        if json {
            print(describe(stored).canonicalText)
        } else {
            print("\(name): \(stored.identity.hex)")
        }
    }

    private func noteOddities(_ model: ModelDescription, ignoresUnknownTensors: Bool) {
        var notes = model.notes
        // Another sampler may work without the unsupported option.
        do throws(RenderError) { try model.checkOwnSampler() } catch {
            notes.append("not rendered with its own sampler: \(error.failure.message.dropLast())")
        }
        if ignoresUnknownTensors {
            notes.append("the store does not keep --ignore-unknown-tensors: give it where the model is used, too")
        }
        for note in notes { writeError("note: \(TerminalText.printable(note))\n") }
    }
}

/// `patchloom model list`
struct ModelListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the models of the store.")

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let store = try ModelStore.standard()
        let (models, damaged) = (try store.models(), try store.damagedNames())
        if json { return print(JSONValue.array(models.map(describe) + damaged.map(describe(damaged:))).canonicalText) }
        printTable(damaged.map { ($0, "damaged name: remove it and import its model again") } + models.map(line))
    }

    private func line(_ model: StoredModel) -> (String, String) {
        let size = model.byteCount.map { TerminalText.fixed(Double($0) / 1e6, digits: 1) + " MB" } ?? "damaged"
        return (model.names.joined(separator: ", "), "\(model.identity.hex.prefix(12))  \(size)")
    }
}

/// `patchloom model inspect`
struct ModelInspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Say what a model is: its family, native size, prediction, parts, identity.")

    @Argument(
        help: ArgumentHelp(
            "A model folder, a .safetensors checkpoint, or a stored model by its name or sha256.", valueName: "model"))
    var model: String

    @OptionGroup var checkpoint: CheckpointOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let source = try checkpoint.words.open(model)
        // The description comes first; then the model's error is reported as in a render.
        let description = Result { () throws(RenderError) in try ModelDescription(source: source) }
        let summary: ModelSummary
        do throws(WeightsError) { summary = try ModelSummary(source) } catch {
            if case .failure(let refusal) = description { throw refusal }
            throw error
        }
        // A model that cannot be rendered can still be inspected. The reason becomes part of the description, and the exit
        // code is that of a render.
        var object = summary.json.objectValue ?? JSONObject()
        var lines = summary.lines
        var refusal: RenderError?
        switch description {
        case .success(let model):
            object["renders_as"] = .string(model.kind.id)
            object["clip_skip"] = .integer(Int64(model.clipSkip))
            object["notes"] = .array(model.notes.map { .string($0) })
            lines += [("clip skip", String(model.clipSkip)), ("renders as", model.kind.title)]
            // The line on the prediction says already that it is assumed.
            lines += model.notes.filter { $0 != source.assumptionNote }.map { ("note", $0) }
            do throws(RenderError) { try model.checkOwnSampler() } catch { refusal = error }
        case .failure(let error): refusal = error
        }
        if let refusal {
            let reason = refusal.failure.message
            object["not_rendered"] = .string(reason)
            lines.append(("not rendered", reason))
        }
        if json {
            print(JSONValue.object(object).canonicalText)
        } else {
            printTable(lines.map { ($0, TerminalText.printable($1)) })
        }
        if let refusal { throw refusal }
    }
}

/// `patchloom model remove`
struct ModelRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Take a name out of the store, and delete files that no other model uses.")

    @Argument(help: ArgumentHelp("The name, or sha256:HEX for a model with all its names.", valueName: "name"))
    var name: String

    func run() throws { _ = try ModelStore.standard().remove(name) }
}

/// `patchloom model prune`
struct ModelPruneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Free disk space: remove files of packed weights that are left over, of no use, or beyond the limit.",
        discussion: "Models stay. Packed weights are made again when a worker needs them.")

    @Flag(help: "Remove all files of packed weights.")
    var all = false

    @OptionGroup var packing: PackedWeightsOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        guard let folder = PackedWeights.standardFolder else {
            throw CommandFailure(
                .usage, "There is no folder of packed weights: set PATCHLOOM_HOME to the absolute path of one.")
        }
        let pruning = try PackedWeights.prune(
            PackedWeights.Setting(folder: folder, limit: try packing.limit()), all: all)
        if json {
            let summary: JSONValue = [
                "folder": .string(folder), "removed_files": .integer(Int64(pruning.removedFiles)),
                "removed_bytes": .integer(Int64(pruning.removedBytes)), "kept_files": .integer(Int64(pruning.keptFiles)),
                "kept_bytes": .integer(Int64(pruning.keptBytes)),
            ]
            return print(summary.canonicalText)
        }
        func size(_ files: Int, _ bytes: Int) -> String {
            "\(files) \(files == 1 ? "file" : "files"), \(TerminalText.fixed(Double(bytes) / 1e6, digits: 1)) MB"
        }
        print("removed: \(size(pruning.removedFiles, pruning.removedBytes))")
        print("kept: \(size(pruning.keptFiles, pruning.keptBytes))")
    }
}

/// A stored model for programs.
private func describe(_ model: StoredModel) -> JSONValue {
    [
        "names": .array(model.names.map { .string($0) }), "identity": .string(model.identity.hex),
        "bytes": model.byteCount.map { .integer(Int64($0)) } ?? .null,
    ]
}

/// A name without a model.
private func describe(damaged name: String) -> JSONValue { ["names": [.string(name)], "identity": .null, "bytes": .null] }

/// Prints two columns.
func printTable(_ lines: [(String, String)]) {
    let width = lines.map(\.0.count).max() ?? 0
    for (name, value) in lines { print("\(TerminalText.padded(name, width))  \(value)") }
}
