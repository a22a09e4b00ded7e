public import ArgumentParser
import MethodComparison
public import TensorCore

extension BackendChoice: ExpressibleByArgument {}
extension PrecisionChoice: ExpressibleByArgument {}

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
                best = min(best, try clock.measure { try body() } / .seconds(1))
            }
            let rate = operations > 0 ? operations / best * 1e-9 : 0
            print(
                column(name, 44), column(Decimal.fixed(best * 1e3, digits: 3), 10, right: true), "ms",
                column(Decimal.fixed(rate, digits: 1), 8, right: true), "GFLOP/s")
        }
        for (side, c) in [(64, 320), (32, 640), (16, 1280), (8, 1280)] {
            let x = uniform([1, side, side, c])
            let tokens = x.reshaped([1, side * side, c])
            let one = Tensor(repeating: 1, shape: [c])
            let pixels = Double(side * side)
            let convolution = try context.packConvolution(weight: uniform([c, c, 3, 3]), bias: one)
            try measure("convolution 3×3 \(side)² \(c)→\(c)", pixels * Double(18 * c * c)) {
                _ = try context.convolution(x, convolution)
            }
            try measure("  with residual", pixels * Double(18 * c * c)) {
                _ = try context.convolution(x, convolution, residual: x)
            }
            let square = try context.packLinear(weight: uniform([c, c]), bias: one)
            try measure("linear \(side * side)×\(c)→\(c)", pixels * Double(2 * c * c)) {
                _ = try context.linear(tokens, square)
            }
            try measure("  with residual", pixels * Double(2 * c * c)) {
                _ = try context.linear(tokens, square, residual: tokens)
            }
            let wide = try context.packLinear(weight: uniform([8 * c, c]), bias: Tensor(repeating: 0, shape: [8 * c]))
            try measure("linear \(side * side)×\(c)→\(8 * c)", pixels * Double(16 * c * c)) {
                _ = try context.linear(tokens, wide)
            }
            let gated = uniform([1, side * side, 8 * c])
            measure("GEGLU \(side * side)×\(8 * c)", 0) { _ = context.geglu(gated) }
            measure("self-attention \(side * side) tokens, 8 heads of \(c / 8)", pixels * pixels * Double(4 * c)) {
                _ = context.attention(query: tokens, key: tokens, value: tokens, heads: 8)
            }
            measure("token matching \(side * side) tokens, 2×2 cells", pixels * pixels * 0.375 * Double(c)) {
                matchTokens(tokens, side: side, context)
            }
            let text = uniform([1, 77, c])
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
        let all = Array(0..<Int32(side * side))
        let isDestination = { (token: Int32) in Int(token) % side % 2 == 0 && Int(token) / side % 2 == 0 }
        _ = context.bestMatches(
            tokens, sources: all.filter { !isDestination($0) }, destinations: all.filter(isDestination))
    }
}

/// `text` padded with blanks to `width`.
func column(_ text: String, _ width: Int, right: Bool = false) -> String {
    let blanks = String(repeating: " ", count: max(0, width - text.count))
    return right ? blanks + text : text + blanks
}
