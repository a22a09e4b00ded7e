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
            ModelImportCommand.self, ModelListCommand.self, ModelInspectCommand.self, ModelRemoveCommand.self,
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
        let choice: ModelChoice
        do { choice = try checkpoint.words.choice(path) } catch { throw CommandFailure(error) }
        let stored = try store(choice)
        if json {
            printJSON(describe(stored))
        } else {
            print("\(name): \(stored.identity.hex)")
        }
    }
}

extension ModelImportCommand {
    /// Refuses a model that cannot be rendered now, not at its first use.
    private func store(_ choice: ModelChoice) throws(CommandFailure) -> StoredModel {
        do {
            return try ModelStore.standard().importModel(choice, name: name) { source in
                var view = ProgressView.suitable(quiet: false)
                let model = try ModelDescription(source: source.ignoringUnknownTensors(choice.ignoresUnknownTensors))
                var notes = model.notes
                // Another sampler may work without the unsupported option.
                do throws(RenderError) { try model.checkOwnSampler() } catch {
                    notes.append("not rendered with its own sampler: \(CommandFailure(error).message.dropLast())")
                }
                if choice.ignoresUnknownTensors {
                    notes.append("the store does not keep --ignore-unknown-tensors: give it where the model is used, too")
                }
                for note in notes { view.note("note: \(TerminalText.printable(note))") }
            }
        } catch let error as WeightsError {
            throw CommandFailure(error)
        } catch let error as RenderError {
            throw CommandFailure(error)
        } catch {
            throw CommandFailure(.internalFault, "\(error)")
        }
    }
}

/// `patchloom model list`
struct ModelListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the models of the store.")

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let models: [StoredModel]
        let damaged: [String]
        do {
            let store = try ModelStore.standard()
            (models, damaged) = (try store.models(), try store.damagedNames())
        } catch { throw CommandFailure(error) }
        if json { return printJSON(.array(models.map(describe) + damaged.map(describe(damaged:)))) }
        let width = (models.map { $0.names.joined(separator: ", ").count } + damaged.map(\.count)).max() ?? 0
        for name in damaged {
            print(
                "\(name)\(String(repeating: " ", count: width - name.count))  damaged name: remove it and import its model again"
            )
        }
        for model in models {
            let names = model.names.joined(separator: ", ")
            let padding = String(repeating: " ", count: width - names.count)
            let size = model.byteCount.map { Report.fixed(Double($0) / 1e6, digits: 1) + " MB" } ?? "damaged"
            print("\(names)\(padding)  \(model.identity.hex.prefix(12))  \(size)")
        }
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
        let source: ModelSource
        do { source = try checkpoint.words.open(model) } catch { throw CommandFailure(error) }
        // The description comes first; then the model's error is reported as in a render.
        let description = Result { () throws(RenderError) in try ModelDescription(source: source) }
        let summary: ModelSummary
        do throws(WeightsError) { summary = try ModelSummary(source) } catch {
            if case .failure(let refusal) = description { throw CommandFailure(refusal) }
            throw CommandFailure(error)
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
            let reason = CommandFailure(refusal).message
            object["not_rendered"] = .string(reason)
            lines.append(("not rendered", reason))
        }
        if json { printJSON(.object(object)) } else { printTable(lines) }
        if let refusal { throw CommandFailure(refusal) }
    }

    private func printTable(_ lines: [(String, String)]) {
        let width = lines.map(\.0.count).max() ?? 0
        for (what, value) in lines {
            print("\(what)\(String(repeating: " ", count: width - what.count))  \(TerminalText.printable(value))")
        }
    }
}

/// `patchloom model remove`
struct ModelRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Take a name out of the store, and delete files that no other model uses.")

    @Argument(help: ArgumentHelp("The name, or sha256:HEX for a model with all its names.", valueName: "name"))
    var name: String

    func run() throws {
        do { _ = try ModelStore.standard().remove(name) } catch { throw CommandFailure(error) }
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

private func printJSON(_ json: JSONValue) { print(json.canonicalText) }
