public import ArgumentParser
public import TensorCore

extension BackendChoice: ExpressibleByArgument {}

/// `patchloom-bench ops`: the operations of a Stable Diffusion 1.5 U-Net at latent 64, one line each.
struct OperationsBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ops", abstract: "Speed of single operations at the shapes of a Stable Diffusion 1.5 U-Net.")

    @Option(help: "Compute library: auto, onednn or openblas.") var backend = BackendChoice.auto
    @Option(help: "Threads that compute.") var threads = 2
    @Option(help: "Timed runs of each operation; the best is printed.") var runs = 5
    @Option(name: .customLong("kernels"), help: "Instruction set of our own kernels; the best by default.") var kernelSet:
        String?

    func run() throws {
        let context = try ComputeContext(backend: backend, threads: threads, kernelSet: kernelSet)
        print(context.numericsClass)
        let clock = ContinuousClock()
        func measure(_ name: String, _ operations: Double, _ body: () throws -> Void) rethrows {
            try body()
            var best = Double.infinity
            for _ in 0..<runs {
                let elapsed = try clock.measure { try body() }
                best = min(best, Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18)
            }
            let rate = operations > 0 ? operations / best * 1e-9 : 0
            print(
                column(name, 44), column(decimal(best * 1e3, 3), 10, right: true), "ms",
                column(decimal(rate, 1), 8, right: true), "GFLOP/s")
        }
        for (side, c) in [(64, 320), (32, 640), (16, 1280), (8, 1280)] {
            let x = filled([1, side, side, c])
            let tokens = x.reshaped([1, side * side, c])
            let one = Tensor(repeating: 1, shape: [c])
            let pixels = Double(side * side)
            let convolution = try context.packConvolution(weight: filled([c, c, 3, 3]), bias: one)
            try measure("convolution 3×3 \(side)² \(c)→\(c)", pixels * Double(18 * c * c)) {
                _ = try context.convolution(x, convolution)
            }
            try measure("  with residual", pixels * Double(18 * c * c)) {
                _ = try context.convolution(x, convolution, residual: x)
            }
            let square = try context.packLinear(weight: filled([c, c]), bias: one)
            try measure("linear \(side * side)×\(c)→\(c)", pixels * Double(2 * c * c)) {
                _ = try context.linear(tokens, square)
            }
            try measure("  with residual", pixels * Double(2 * c * c)) {
                _ = try context.linear(tokens, square, residual: tokens)
            }
            let wide = try context.packLinear(weight: filled([8 * c, c]), bias: Tensor(repeating: 0, shape: [8 * c]))
            try measure("linear \(side * side)×\(c)→\(8 * c)", pixels * Double(16 * c * c)) {
                _ = try context.linear(tokens, wide)
            }
            let gated = filled([1, side * side, 8 * c])
            measure("GEGLU \(side * side)×\(8 * c)", 0) { _ = context.geglu(gated) }
            measure("self-attention \(side * side) tokens, 8 heads of \(c / 8)", pixels * pixels * Double(4 * c)) {
                _ = context.attention(query: tokens, key: tokens, value: tokens, heads: 8)
            }
            measure("token matching \(side * side) tokens, 2×2 cells", pixels * pixels * 0.375 * Double(c)) {
                matchTokens(tokens, side: side, context)
            }
            let text = filled([1, 77, c])
            measure("cross-attention 77 keys", pixels * 77 * Double(4 * c)) {
                _ = context.attention(query: tokens, key: text, value: text, heads: 8)
            }
            measure("GroupNorm + SiLU \(side)² \(c)", 0) {
                _ = context.groupNorm(x, groups: 32, scale: one, offset: one, epsilon: 1e-5, silu: true)
            }
            measure("LayerNorm \(side * side)×\(c)", 0) {
                _ = context.layerNorm(tokens, scale: one, offset: one, epsilon: 1e-5)
            }
        }
    }

    /// Token merging's search. One of each 2×2 tokens is a destination.
    private func matchTokens(_ tokens: Tensor, side: Int, _ context: ComputeContext) {
        let all = (0..<Int32(side * side)).map { $0 }
        let isDestination = { (token: Int32) in Int(token) % side % 2 == 0 && Int(token) / side % 2 == 0 }
        _ = context.bestMatches(
            tokens, sources: all.filter { !isDestination($0) }, destinations: all.filter(isDestination))
    }

    private func filled(_ shape: [Int]) -> Tensor {
        let tensor = Tensor(uninitialized: shape)
        let values = tensor.elements(as: Float.self)
        for index in values.indices { values[index] = Float((index &* 2_654_435_761) & 0xFFFF) / 65536 - 0.5 }
        return tensor
    }
}

/// `text` padded with blanks to `width`.
func column(_ text: String, _ width: Int, right: Bool = false) -> String {
    let blanks = String(repeating: " ", count: max(0, width - text.count))
    return right ? blanks + text : text + blanks
}

/// `value` with a fixed number of decimals.
func decimal(_ value: Double, _ places: Int) -> String {
    let scale = (0..<places).reduce(1.0) { product, _ in product * 10 }
    let rounded = (abs(value) * scale).rounded()
    guard rounded < 1e15 else { return "\(value)" }
    let whole = Int(rounded)
    let fraction = String(whole % Int(scale))
    let sign = value < 0 ? "-" : ""
    return places == 0
        ? "\(sign)\(whole)"
        : "\(sign)\(whole / Int(scale)).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
}
