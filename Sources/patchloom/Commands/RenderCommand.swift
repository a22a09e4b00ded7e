import ArgumentParser
import CommandSupport
import Foundation
import ImageFiles
import Rendering
import Requests
import Runtime
import Sentences
import Weights

/// `patchloom render`: a picture on this host, from one command.
struct RenderCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "render", abstract: "Render a picture with worker processes on this host.")

    @OptionGroup(title: "Picture") var picture: RequestOptions
    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions
    @OptionGroup(title: "This host") var host: HostOptions
    @OptionGroup(title: "Output") var output: OutputOptions

    /// Keeps the times for `plan`. The picture does not depend on it.
    private func remember(_ result: RenderResult, _ kind: RenderTimes.Kind, _ view: inout ProgressView) {
        do throws(WeightsError) { try RenderTimes.file?.change { $0.add(result, kind) } } catch {
            view.note("warning: times are not kept for 'patchloom plan': \(error.sentence.spelled(\.option))")
        }
    }

    func run() throws {
        // All errors of the request are found before a process starts.
        var asked = try picture.request()
        let batch = try Batch(asked, count: output.batchCount, output: output)
        let source = try checkpoint.words.source()
        let weightBytes = try checkpoint.words.weightBytes(source)
        let layout = try host.layout(weightBytes: weightBytes, precision: asked.precision)
        asked.precision = layout.precision
        let model = try ModelDescription(source: source)
        let found = try loras.folders.resolve(asked)
        let machine = try RenderMachine(request: found.request, model: model, loras: found.library)
        try MemoryCheck(source, model, found.library, layout).require(found.request, machine, weightBytes: weightBytes)
        let requests = batch.items.map { item in
            var request = found.request
            request.seed = item.request.seed
            return request
        }

        var view = ProgressView(quiet: output.quiet)
        if picture.seed == .random { view.note("seed \(asked.seed)") }
        for warning in layout.warnings { view.note("warning: \(warning)") }
        let session = try RenderSession(
            source, arguments: checkpoint.arguments, loras: found, layout: layout, program: OwnProgram.runningFile,
            verbose: output.verbose)
        let kind = layout.kind(model, machine.plan.method, layout.precision)
        try session.render(requests, view: &view) { number, result, view in
            try batch.items[number].finish(result, output, view: &view)
            remember(result, kind, &view)
        }
    }
}
