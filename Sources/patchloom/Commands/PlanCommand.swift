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
        let found = try loras.resolve(try picture.request())
        let plan = try plan(found.request, try describe(try checkpoint.source()), found.library)
        if json {
            print(String(decoding: plan.json.canonicalBytes(), as: UTF8.self))
        } else {
            for line in plan.summaryLines { print(TerminalText.printable(line)) }
        }
    }
}
