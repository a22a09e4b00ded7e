import ArgumentParser
import CommandSupport
import Foundation
import ImageFiles
import Rendering
import Requests
import Runtime
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

    func run() throws {
        // All errors of the request are found before a process starts.
        let asked = try picture.request()
        var batch = try Batch(asked, count: output.batchCount, output: output)
        let source = try checkpoint.source()
        let layout = try host.layout(weightBytes: checkpoint.weightBytes(source))
        let model = try describe(source)
        let found = try loras.resolve(asked)
        _ = try plan(found.request, model, found.library)
        try batch.map { asked throws(CommandFailure) in
            var request = found.request
            request.seed = asked.seed
            return request
        }

        var view = ProgressView.suitable(quiet: output.quiet)
        if picture.seed == .random { view.note("seed \(asked.seed)") }
        if let warning = layout.warning { view.note("warning: \(warning)") }
        let session = try RenderSession(
            RenderSession.Models(source: source, arguments: checkpoint.arguments, loras: found), layout: layout,
            worker: .thisProgram, verbose: output.verbose)
        try session.render(batch.items.map(\.request), view: &view) { number, result, view throws(CommandFailure) in
            let item = batch.items[number]
            do throws(ImageFileError) { try item.place.write(result.png) } catch { throw CommandFailure(error) }
            Report(item: item, output: output, result: result).print(view: &view)
        }
    }
}
