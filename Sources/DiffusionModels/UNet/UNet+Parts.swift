public import Acceleration
public import TensorCore

extension UNet {
    /// The transformers in the order in which they run.
    var transformers: [SpatialTransformer] {
        downBlocks.flatMap(\.transformers) + [midBlock.transformer] + upBlocks.flatMap(\.transformers)
    }

    /// Runs one transformer block alone, to compare it with a reference.
    ///
    /// - Parameters:
    ///   - path: its name in checkpoints, `down_blocks.0.attentions.1.transformer_blocks.0`.
    ///   - tokens: (n, height·width, channels of its level)
    ///   - text: (n, tokens, textWidth)
    ///   - switches: one shift if self-attention runs in windows; the reduction of tokens.
    ///   - choices: the destination of each cell that a reference chose; nil for the switches' own.
    /// - Returns: as `tokens`.
    /// - Throws: `.input` if the block does not exist or has no windows, or if shapes, shifts or choices do not fit.
    public func runTransformerBlock(
        _ path: String, tokens: Tensor, size: (height: Int, width: Int), text: Tensor, switches: UNetSwitches,
        choices: [Int]? = nil
    ) throws(ModelError) -> Tensor {
        guard let block = transformers.lazy.flatMap(\.blocks).first(where: { $0.path == path }) else {
            throw ModelError(.input, "This U-Net has no transformer block \(path).")
        }
        if let problem = switches.tokens.problem { throw ModelError(.input, problem) }
        guard switches.windowShifts?.count ?? 1 == 1 else {
            throw ModelError(.input, "One transformer block takes one shift, not \(switches.windowShifts?.count ?? 0).")
        }
        let windowShift = switches.windowShifts?.first
        guard windowShift.map({ $0 < 4 && block.place.windowIndex != nil }) ?? true else {
            throw ModelError(.input, "The transformer block \(path) has no windows, or the shift is not 0, 1, 2 or 3.")
        }
        let n = tokens.shape[0]
        let width = configuration.channels[block.place.level.trailingZeroBitCount]
        let (area, overflow) = size.height.multipliedReportingOverflow(by: size.width)
        guard size.height > 0, size.width > 0, !overflow, tokens.shape == [n, area, width],
            text.shape.count == 3, text.shape[0] == n, text.shape[2] == configuration.textWidth
        else {
            throw ModelError(
                .input, "The transformer block \(path) does not take tokens of \(tokens.shape) with text of \(text.shape).")
        }
        let chosen = ChosenDestinations(choices.map { [block.place.index: $0] } ?? switches.tokens.chosen)
        let call = UNetCall(
            context: context, images: n, time: text, text: context.convert(text, to: context.precision),
            keeper: nil, windowShifts: windowShift.map { Array(repeating: $0, count: windowBlockCount) },
            tokens: switches.tokens,
            chosen: chosen, probe: nil)
        let output = try ModelError.computing("the transformer block \(path)") { () throws(ComputeError) in
            let grid = TokenGrid(height: size.height, width: size.width, scale: block.place.level)
            return context.convert(try block(context.convert(tokens, to: context.precision), grid: grid, call), to: .f32)
        }
        if let problem = chosen.problem { throw ModelError(.input, problem) }
        return output
    }
}
