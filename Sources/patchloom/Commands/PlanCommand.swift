import ArgumentParser
import CommandSupport
import Rendering
import Requests
import StrictJSON

/// `patchloom plan`: shows the plan of a `render`.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Print what rendering a picture would take, without rendering it.")

    @OptionGroup(title: "Picture") var picture: RequestOptions
    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let found = try loras.folders.resolve(picture.request())
        let model = try ModelDescription(source: checkpoint.words.source())
        let plan = try RenderMachine(request: found.request, model: model, loras: found.library).plan
        if json {
            print(plan.json.canonicalText)
        } else {
            for line in plan.summaryLines { print(TerminalText.printable(line)) }
        }
    }
}
