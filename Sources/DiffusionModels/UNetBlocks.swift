import Acceleration
import TensorCore
import Weights

/// What all blocks of one U-Net call share.
struct UNetCall {
    let context: ComputeContext
    /// SiLU of the time embedding, (n, 4c) or (1, 4c).
    let activatedTime: Tensor
    /// (n, tokens, d)
    let text: Tensor
    let plan: UNetPlan
    /// Shift ids not used yet.
    var shifts: ArraySlice<UInt8>?
    /// Size of the map before the pooled block, while it is pooled.
    var sizeBeforePool: (height: Int, width: Int)?

    /// The shifts of the next `count` window blocks.
    mutating func takeShifts(_ count: Int) -> ArraySlice<UInt8>? {
        guard let taken = shifts?.prefix(count) else { return nil }
        shifts = shifts?.dropFirst(count)
        return taken
    }
}

/// HiDiffusion's role of one level (specification 3.1).
struct LevelRoles {
    /// Self-attention of this level can be cut into windows.
    var windows = false
    /// The level's downsampler is the resolution-aware one.
    var rad = false
    /// The down block pools, or the up block undoes it.
    var pools = false
}

/// The residual blocks and transformers of one level, which down, middle and up blocks share.
struct UNetLevel {
    let resnets: [ResnetBlock]
    /// Empty where the level has no transformers; else one after each residual block.
    let transformers: [SpatialTransformer]
    let roles: LevelRoles

    var windowBlockCount: Int { roles.windows ? transformers.reduce(0) { $0 + $1.blocks.count } : 0 }

    func forward(layer: Int, _ x: Tensor, _ call: inout UNetCall) throws -> Tensor {
        let y = try resnets[layer].forward(x, activatedTime: call.activatedTime, call.context)
        guard layer < transformers.count else { return y }
        let shifts = roles.windows ? call.takeShifts(transformers[layer].blocks.count) : nil
        return try transformers[layer].forward(y, text: call.text, shifts: shifts, call.context)
    }
}

/// One level on the way down.
struct DownBlock {
    let level: UNetLevel
    let downsampler: ConvolutionParameters?

    /// Pushes what the way up will need onto `skips`.
    func forward(_ input: Tensor, skips: inout [Tensor], _ call: inout UNetCall) throws -> Tensor {
        var x = input
        for layer in level.resnets.indices {
            x = try level.forward(layer: layer, x, &call)
            if layer == 0 && level.roles.pools && call.plan.pool {
                call.sizeBeforePool = (x.shape[1], x.shape[2])
                x = call.context.averagePool2x2(x)
            }
            skips.append(x)
        }
        if let downsampler {
            let rad = level.roles.rad && call.plan.rad
            x = try call.context.convolution(
                x, downsampler, stride: rad ? 4 : 2, padding: rad ? Padding(2) : .same, dilation: rad ? 2 : 1)
            skips.append(x)
        }
        return x
    }
}

/// The middle: residual block, transformer, residual block.
struct MiddleBlock {
    let first: ResnetBlock
    let transformer: SpatialTransformer
    let last: ResnetBlock

    func forward(_ input: Tensor, _ call: UNetCall) throws -> Tensor {
        var x = try first.forward(input, activatedTime: call.activatedTime, call.context)
        x = try transformer.forward(x, text: call.text, shifts: nil, call.context)
        return try last.forward(x, activatedTime: call.activatedTime, call.context)
    }
}

/// One level on the way up.
struct UpBlock {
    let level: UNetLevel
    let upsampler: ConvolutionParameters?

    func forward(_ input: Tensor, skips: inout [Tensor], _ call: inout UNetCall) throws -> Tensor {
        var x = input
        for layer in level.resnets.indices {
            x = try level.forward(layer: layer, call.context.concatenateChannels(x, skips.removeLast()), &call)
            if layer == 1 && level.roles.pools, let size = call.sizeBeforePool {
                x = call.context.resizeBicubic(x, height: size.height, width: size.width)
                call.sizeBeforePool = nil
            }
        }
        if let upsampler, let next = skips.last {
            // The exact size of the skip that comes next: any latent size works, and RAD is undone in one go.
            x = call.context.resizeNearest(x, height: next.shape[1], width: next.shape[2])
            x = try call.context.convolution(x, upsampler)
        }
        return x
    }
}
