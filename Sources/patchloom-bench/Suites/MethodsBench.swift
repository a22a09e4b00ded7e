import Acceleration
import ArgumentParser
import DiffusionModels
import MethodComparison
import Rendering
import StrictJSON
import TensorCore
import Weights

/// `patchloom-bench methods`: the time of a whole picture by each method, from one timed U-Net call of each kind in its plan.
/// Weights are random; the time does not depend on their values.
struct MethodsBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "methods",
        abstract: "Compares methods on a published Stable Diffusion architecture, with random weights, by extrapolation.",
        discussion: """
            Each method's render is planned as it would run. U-Net calls that differ in size or in what is switched on are \
            timed once each, with one image, and their times and counted arithmetic are multiplied by how often the plan has \
            them. Text encoder, autoencoder and transport are left out. Every sum is said to be extrapolated. A method is \
            printed as soon as its calls are timed; each call is told on standard error.
            """)

    @Option(help: "Architecture: sd15, sd21, sdxl or embedded.") var family = BenchFamily.sd15
    @Option(help: "Side of the square picture in pixels.") var size = 1024
    @Option(help: "Denoising steps.") var steps = 50
    @Option(help: "Methods with commas between them, words joined by +, such as direct,cut+hidiffusion.")
    var methods = "direct,hidiffusion,cut"
    @Option(help: "Share of the tokens that methods with the word tome merge.") var tomeRatio = 0.5
    @Option(help: "Timed calls of each kind; the best counts.") var repeats = 1
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @OptionGroup var compute: ComputeOptions
    @Flag(help: "Print one JSON line.") var json = false

    func validate() throws {
        guard (64...8192).contains(size), size % 64 == 0 else {
            throw ValidationError("--size \(size) is not possible: choose a multiple of 64 from 64 to 8192.")
        }
        try check("steps", steps, 1...1000)
        try check("repeats", repeats, 1...100)
    }

    func run() throws {
        let plans = try planned()
        let context = try compute.context(precision)
        var timer = CallTimer(unet: try family.unet(context), context: context, repeats: repeats)
        try timer.warmUp(for: plans.flatMap(\.calls))
        if !json {
            printNow(
                "\(family.rawValue), \(size)×\(size) px, \(steps) steps, \(compute.threads) threads, \(context.numericsClass)")
        }
        var rows: [MethodRow] = []
        for plan in plans {
            rows.append(MethodRow(name: plan.name, parts: try plan.calls.map { try timer.part($0) }))
            if !json { rows.last?.lines(base: rows[0]).forEach(printNow) }
        }
        if json { printNow(jsonLine(rows, context)) }
    }

    /// The U-Net calls of every method. All errors are found before anything is timed.
    private func planned() throws -> [(name: String, calls: [EvaluationKind])] {
        let model = try ModelDescription(source: family.source)
        var request = RenderRequest()
        request.prompt = "a harbour at dawn"
        (request.width, request.height, request.steps) = (size, size, steps)
        return try MethodRecipe.list(methods).map { recipe in
            var asked = request
            if recipe.name.split(separator: "+").contains("tome") {
                asked.tokenReduction = TokenReductionRequest()
                asked.tokenReduction?.merging = TokenReductionRequest.Merging(ratio: tomeRatio)
            }
            let machine = try RenderMachine(request: recipe.applied(to: asked, model: model), model: model)
            return (recipe.name, EvaluationKind.all(of: machine))
        }
    }

    private func jsonLine(_ rows: [MethodRow], _ context: ComputeContext) -> String {
        let line: JSONValue = [
            "family": .string(family.rawValue), "size": .integer(Int64(size)), "steps": .integer(Int64(steps)),
            "threads": .integer(Int64(compute.threads)), "repeats": .integer(Int64(repeats)),
            "precision": .string("\(context.precision)"),
            "numerics_class": .string(context.numericsClass), "extrapolated": true,
            "methods": .array(rows.map { $0.json(base: rows[0]) }),
        ]
        return line.canonicalText
    }
}

/// Times each kind of U-Net call once.
private struct CallTimer {
    let unet: UNet
    let context: ComputeContext
    let repeats: Int
    /// One for all calls, as in a render. The untimed call makes its keys and values.
    private let text: UNetText
    /// The kinds of calls that were timed so far, each with its cost.
    private var known: [MethodRow.Part] = []

    init(unet: UNet, context: ComputeContext, repeats: Int) {
        (self.unet, self.context, self.repeats) = (unet, context, repeats)
        text = UNetInput(uniformFor: unet, batch: 1, height: 1, width: 1).text
    }

    /// Runs an untimed call, as large as the smallest of these. The first call also pays for the reordering of weights for
    /// the compute library.
    func warmUp(for calls: [EvaluationKind]) throws {
        guard let smallest = calls.min(by: { $0.width * $0.height < $1.width * $1.height }) else { return }
        _ = try unet.forward(input(for: smallest), switches: smallest.switches)
    }

    private func input(for kind: EvaluationKind) -> UNetInput {
        var input = UNetInput(uniformFor: unet, batch: 1, height: kind.height, width: kind.width)
        input.text = text
        return input
    }

    /// The calls of a kind with the cost of one, with a single image.
    mutating func part(_ kind: EvaluationKind) throws -> MethodRow.Part {
        if let found = known.first(where: { $0.kind.isOfOneKind(with: kind) }) {
            return MethodRow.Part(kind: kind, cost: found.cost)
        }
        let input = input(for: kind)
        let clock = ContinuousClock()
        var cost = MethodRow.Cost(seconds: .infinity, operations: 0, activationBytes: 0)
        for _ in 0..<repeats {
            let before = context.operations
            context.forgetPeak()
            let elapsed = try clock.measure { _ = try unet.forward(input, switches: kind.switches) }
            cost.seconds = min(cost.seconds, elapsed / .seconds(1))
            cost.operations = context.operations - before
            cost.activationBytes = context.peakActivationBytes
        }
        context.trimMemory()
        let part = MethodRow.Part(kind: kind, cost: cost)
        known.append(part)
        printError("\(part.title): \(Decimal.fixed(cost.seconds, digits: 3)) s")
        return part
    }
}
