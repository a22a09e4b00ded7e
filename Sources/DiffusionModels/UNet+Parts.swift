public import Acceleration
public import TensorCore

extension UNet {
    /// Runs one transformer block alone, to compare it with a reference.
    ///
    /// - Parameters:
    ///   - path: its name in checkpoints, `down_blocks.0.attentions.1.transformer_blocks.0`.
    ///   - tokens: (n, height·width, channels of its level)
    ///   - text: (n, tokens, textWidth)
    ///   - plan: one shift if self-attention runs in windows; the reduction of tokens.
    ///   - choices: the destination of each cell that a reference chose; nil for the plan's own.
    /// - Returns: as `tokens`.
    /// - Throws: `.input` if the block does not exist or has no windows, or if shapes, shifts or choices do not fit.
    public func runTransformerBlock(
        _ path: String, tokens: Tensor, size: (height: Int, width: Int), text: Tensor, switches: UNetSwitches,
        choices: [Int]? = nil
    ) throws(ModelError) -> Tensor {
        guard let (block, level) = transformerBlock(path) else {
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
        let (area, overflow) = size.height.multipliedReportingOverflow(by: size.width)
        guard size.height > 0, size.width > 0, !overflow, tokens.shape == [n, area, configuration.channels[level]],
            text.shape.count == 3, text.shape[0] == n, text.shape[2] == configuration.textWidth
        else {
            throw ModelError(
                .input, "The transformer block \(path) does not take tokens of \(tokens.shape) with text of \(text.shape).")
        }
        let chosen = ChosenDestinations(choices.map { [block.place.index: $0] } ?? switches.tokens.chosen)
        let call = UNetCall(
            context: context, time: text, text: text,
            windowShifts: windowShift.map { Array(repeating: $0, count: windowBlockCount) }, tokens: switches.tokens,
            chosen: chosen, probe: nil)
        let output = try ModelError.computing("the transformer block \(path)") { () throws(ComputeError) in
            try block(tokens, grid: TokenGrid(height: size.height, width: size.width, scale: block.place.level), call)
        }
        if let problem = chosen.problem { throw ModelError(.input, problem) }
        return output
    }

    /// The block and its level.
    private func transformerBlock(_ path: String) -> (TransformerBlock, level: Int)? {
        let parts = path.split(separator: ".", omittingEmptySubsequences: false)
        let levels = configuration.levels
        let transformers: [SpatialTransformer]
        let level: Int
        var rest = parts.dropFirst(2)
        switch parts.first {
        case "down_blocks":
            guard let index = Int(parts.dropFirst().first ?? ""), downBlocks.indices.contains(index) else { return nil }
            (transformers, level) = (downBlocks[index].transformers, index)
        case "up_blocks":
            guard let index = Int(parts.dropFirst().first ?? ""), upBlocks.indices.contains(index) else { return nil }
            (transformers, level) = (upBlocks[index].transformers, levels - 1 - index)
        case "mid_block":
            (transformers, level, rest) = ([midBlock.transformer], levels - 1, parts.dropFirst())
        default: return nil
        }
        let names = Array(rest)
        guard names.count == 4, names[0] == "attentions", names[2] == "transformer_blocks", let attention = Int(names[1]),
            transformers.indices.contains(attention), let block = Int(names[3]),
            transformers[attention].blocks.indices.contains(block)
        else { return nil }
        return (transformers[attention].blocks[block], level)
    }
}
