import ArgumentParser
import CommandSupport
import ContactSheets
import ContentHash
import ImageFiles
import MethodComparison
import Rendering
import Requests
import Runtime
import Samplers
import TensorCore
import Weights

/// `patchloom compare`: the same pictures by several methods, side by side and with figures.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: OwnProgram.compareAbstract)

    @OptionGroup(title: "Comparison") var comparison: CompareOptions
    @OptionGroup(title: "Picture") var picture: RequestOptions
    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions
    @OptionGroup(title: "This host") var host: HostOptions

    func run() throws {
        // All errors of the request are found before a process starts.
        try checkOptions()
        let prompts = try allPrompts()
        var asked = try picture.request(prompt: prompts[0])
        let source = try checkpoint.words.source()
        let layout = try host.layout(weightBytes: checkpoint.words.weightBytes(source), precision: asked.precision)
        asked.precision = layout.precision
        let model = try ModelDescription(source: source)
        let found = try loras.folders.resolve(asked, prompts: prompts)
        let plan = try plan(prompts, found, model)
        let font = try SheetFont()
        let sheet = try sheetLayout(plan)
        let program = try OwnProgram.patchloom.path()
        var files = try CompareFiles(comparison)

        var view = ProgressView(quiet: comparison.quiet, tellsSteps: false)
        if picture.seed == .random { view.note("seed \(asked.seed)") }
        for warning in layout.warnings { view.note("warning: \(warning)") }
        view.note("\(plan.items.count) pictures")
        for note in plan.items.flatMap(\.plan.notes) { view.noteOnce(TerminalText.printable(note)) }
        let session = try RenderSession(
            source, arguments: checkpoint.arguments, loras: found, layout: layout, program: program,
            verbose: comparison.verbose)
        session.tellsPlans = false
        var results = ComparisonResults(
            plan, layout: sheet, nativeSide: model.nativeSize,
            conditions: conditions(plan, model, layout) + (try tileConditions(plan, source, model, layout)))
        do {
            try render(plan, session, into: &results, files: &files, view: &view)
        } catch {
            // The user hears why the rendering ended, also if the files cannot be written.
            do { try results.write(&files, font: font) } catch let other as any CommandError {
                view.note(other.failure.message)
            } catch let other {
                view.note("\(other)")
            }
            throw error
        }
        try results.write(&files, font: font)
        view.note("\(TerminalText.printable(files.sheet.path)), with the figures in .md and .csv beside it")
    }

    /// Writes the figures after each prompt, so that little is lost if the program ends early.
    private func render(
        _ plan: Comparison, _ session: RenderSession, into results: inout ComparisonResults, files: inout CompareFiles,
        view: inout ProgressView
    ) throws {
        try session.render(plan.items.map(\.request), view: &view) { number, result, view in
            try plan.items[number].place?.write(result.file)
            let picture = try results.add(number, result)
            view.clear()
            view.note(Self.line(picture, number: number + 1, of: plan.items.count))
            if plan.isLastOfPrompt(number) { try files.write(results.table) }
        }
    }

    /// `3 of 12: cut at 256×256, prompt 1: 12.3 s, 0.58 TFLOP`
    private static func line(_ picture: ComparedPicture, number: Int, of count: Int) -> String {
        let (subject, cost) = (picture.subject, picture.cost)
        return
            "\(number) of \(count): \(subject.method) at \(subject.width)×\(subject.height), prompt \(subject.promptNumber): "
            + "\(Decimal.fixed(cost.wallSeconds, digits: 1)) s, \(Decimal.fixed(Double(cost.operations) / 1e12, digits: 3)) TFLOP"
            + (picture.quality.isRepeating ? ", repeats its subject" : "")
    }

    // MARK: Options

    private func checkOptions() throws(CommandFailure) {
        guard picture.method.method == "auto", picture.method.hidiffusion == "auto" else {
            throw CommandFailure(
                .usage, "--method and --hidiffusion choose the method of one picture: name the methods to compare by --methods."
            )
        }
        guard picture.initImg == nil, picture.mask == nil, picture.strength == nil else {
            throw CommandFailure(
                .usage, "Methods are compared without a picture to start from: leave -i, --mask and --strength out.")
        }
        guard CompareOptions.cellRange.contains(comparison.cell) else {
            let range = CompareOptions.cellRange
            throw CommandFailure(
                .usage, "--cell must be from \(range.lowerBound) to \(range.upperBound) pixels, not \(comparison.cell).")
        }
    }

    private func allPrompts() throws -> [String] {
        var prompts = picture.prompt
        if let file = picture.promptFile { prompts.append(try PromptFile.read(file)) }
        if let file = comparison.promptList { prompts += try PromptList.read(file) }
        guard !prompts.isEmpty else {
            throw CommandFailure(.usage, "No prompt: say what the pictures show with -p, or name a list by --prompt-list.")
        }
        guard prompts.count <= PromptList.countMax else {
            throw CommandFailure(.usage, "These are \(prompts.count) prompts: give at most \(PromptList.countMax).")
        }
        return prompts
    }

    private func plan(
        _ prompts: [String], _ found: LoRAFolders.Resolved, _ model: ModelDescription
    ) throws -> Comparison {
        let recipes = try MethodRecipe.list(comparison.methods)
        let sizes = try ComparedSizes(
            scales: comparison.scale, width: picture.width, height: picture.height, native: model.nativeSize,
            multiple: model.scaleFactor)
        let keep = try comparison.keep.map { try KeptPictures(folder: $0, replacesExisting: !comparison.noClobber) }
        return try Comparison(prompts, recipes, sizes, model: model, loras: found, keep: keep)
    }

    private func sheetLayout(_ plan: Comparison) throws(ContactSheetError) -> SheetLayout {
        try SheetLayout(
            rows: plan.prompts.count * plan.sizes.sizes.count, columns: 1 + plan.recipes.count, side: comparison.cell,
            aspect: (plan.sizes.native.width, plan.sizes.native.height), lines: ComparisonResults.lines)
    }

    /// The conditions that all pictures share.
    /// The difference that blended tiles make to a flat and a sloping latent, if a method has them. The tiles are those of the
    /// request, but not larger than the model's native size.
    private func tileConditions(
        _ plan: Comparison, _ source: ModelSource, _ model: ModelDescription, _ layout: HostOptions.Layout
    ) throws -> [(name: String, value: String)] {
        guard let item = plan.items.first(where: { $0.request.vaeTiling == .blend }) else { return [] }
        // The whole decode is one tile, so the memory of larger ones would be far more than a worker takes.
        let side = min(item.request.vaeTileSize ?? model.nativeSize, model.nativeSize) / model.scaleFactor
        let runner = try TaskRunner(
            models: [source], backend: layout.backend, threads: layout.threads, precision: layout.precision)
        let figures = try TileSeams.all(of: runner, tileSide: side).map(\.text).joined(separator: "; ")
        return [
            (
                "tiles of \(side * model.scaleFactor) px",
                "the largest extra step at a border, and difference of a tile's mean, in levels of 255, of latents that are "
                    + figures
            )
        ]
    }

    private func conditions(
        _ plan: Comparison, _ model: ModelDescription, _ layout: HostOptions.Layout
    ) -> [(name: String, value: String)] {
        func counted(_ count: Int, _ name: String) -> String { "\(count) \(name)\(count == 1 ? "" : "s")" }
        let first = plan.items[0].plan
        let guidance = Decimal.short(Double(first.guidanceScale))
        return [
            ("model", "\(model.name) (\(model.identity.hex.prefix(12)))"), ("seed", String(first.seed)),
            ("steps", "\(first.steps) of \(first.samplingMethod.rawValue), guidance \(guidance)"),
            (
                "host",
                "\(counted(layout.workers, "worker")) of \(counted(layout.threads, "thread")), "
                    + "\(layout.backend.resolved.rawValue), \(layout.precision.rawValue)"
            ),
        ]
    }
}
