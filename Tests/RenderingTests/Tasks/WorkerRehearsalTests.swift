import DiffusionModels
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// A rehearsal takes the memory that the computation takes, byte for byte.
@Suite struct WorkerRehearsalTests {
    static let arithmetics = BackendChoice.arithmetics

    private static func rehearsal(
        _ source: ModelSource, _ backend: BackendChoice, _ precision: PrecisionChoice
    ) throws -> WorkerRehearsal {
        try WorkerRehearsal(source, backend: backend, threads: 2, precision: precision, mapsFiles: false)
    }

    /// The activations and the arithmetic of every kind of task of all methods. Two patches or views make a group.
    @Test(arguments: ScheduleCase.all) func memoryAndArithmeticAreThoseOfARunner(_ asked: ScheduleCase) throws {
        let (request, model) = (try asked.request(), try asked.description())
        let forecast = try RenderMachine(request: request, model: model).forecast()
        let rehearsal = try Self.rehearsal(model.source, .auto, .f32)
        let runner = try TaskRunner(models: [model.source], backend: .auto, threads: 1)
        let idle = try TaskRunner(models: [model.source], context: try ComputeContext(threads: 1, rehearses: true))
        for kind in forecast.phases.flatMap(\.tasks) {
            guard case .task(let task, let context) = kind.footprint else { continue }
            let count = kind.sample?.isGrouped == true ? 2 : 1
            let group = [RenderTask](repeating: task, count: count)
            var operations: [UInt64] = []
            for runner in [idle, runner] {
                try runner.open(context)
                runner.settle(trimming: false)
                let before = runner.operations
                _ = try runner.run(together: group)
                operations.append(runner.operations - before)
            }
            #expect(operations[0] == operations[1], "\(task.title), \(count) together")
            let need = try rehearsal.need(of: kind.footprint, count: count, keptBytes: 0)
            #expect(need.activations == runner.peakActivationBytes, "\(task.title), \(count) together")
        }
    }

    @Test(arguments: arithmetics) func everyArithmeticIsRehearsed(
        _ backend: BackendChoice, _ precision: PrecisionChoice
    ) throws {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        let model = try ModelDescription(source: .embeddedModel)
        var request = RenderRequest()
        (request.prompt, request.width, request.height) = ("x", 256, 256)
        (request.steps, request.guidanceRescale) = (2, 0.7)
        let forecast = try RenderMachine(request: request, model: model).forecast()
        let rehearsal = try Self.rehearsal(.embeddedModel, backend, precision)
        let runner = try TaskRunner(models: [.embeddedModel], backend: backend, threads: 2, precision: precision)
        for kind in forecast.phases.flatMap(\.tasks) {
            guard case .task(let task, let context) = kind.footprint else { continue }
            try runner.open(context)
            runner.settle(trimming: false)
            _ = try runner.run(task)
            let need = try rehearsal.need(of: kind.footprint, count: 1, keptBytes: 0)
            #expect(need.activations == runner.peakActivationBytes, "\(task.title)")
        }
    }

    /// The last tile of a worker needs room beside the tiles that wait. A limit holds for the waiting tiles; with one tile none
    /// waits.
    @Test(arguments: [(BackendChoice.onednn, PrecisionChoice.f32), (.onednn, .bf16)])
    func tilesAreRehearsed(_ backend: BackendChoice, _ precision: PrecisionChoice) throws {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        let grid = TileGrid(height: 40, width: 56, tileHeight: 16, tileWidth: 24)
        let context = try ComputeContext(backend: backend, threads: 2, precision: precision)
        let networks = try TaskRunner(models: [.embeddedModel], context: context).networks()
        let (decoder, vae) = (try networks.decoder(), networks.parts.vae)
        let (zeros, ones) = ([Double](repeating: 0, count: vae.normGroups), [Double](repeating: 1, count: vae.normGroups))
        let rehearsal = try Self.rehearsal(.embeddedModel, backend, precision)
        for (tiles, limit) in [(1, Int.max), (4, .max), (9, .max), (9, 3 << 20), (9, 0)] {
            let image = TiledImage(Tensor([Float](repeating: 0, count: 40 * 56 * 4), shape: [1, 40, 56, 4]), grid: grid)
            image.keptLimit = limit
            context.trimMemory()
            context.forgetPeak()
            let middle = grid.count / 2
            let own = (middle + 1 - tiles / 2 - tiles % 2..<middle + 1 + tiles / 2).filter { $0 != middle } + [middle]
            for section in 0..<decoder.sectionCount {
                let moments = [GroupMoments](
                    repeating: GroupMoments(count: 1, means: zeros, scatters: ones), count: section)
                for tile in own { _ = try decoder.run(section, tile: tile, of: image, moments: moments) }
            }
            let need = try rehearsal.need(of: .decoding(grid), count: tiles, keptBytes: limit)
            let ratio = Double(need.activations + need.gaps) / Double(context.peakHeldBytes)
            #expect((0.9...1.1).contains(ratio), "\(tiles) tiles, \(limit): \(ratio)")
        }
    }

    @Test func aTileOfAPictureIsRehearsed() throws {
        let context = try ComputeContext(backend: .auto, threads: 2)
        let networks = try TaskRunner(models: [.embeddedModel], context: context).networks()
        let encoder = try networks.encoder()
        context.forgetPeak()
        let picture = ImageRows(height: 264, width: 328) { rows in
            Tensor([Float](repeating: 0, count: rows.count * 328 * 3), shape: [1, rows.count, 328, 3])
        }
        _ = try encoder.encode(picture, memoryBytes: .max)
        let need = try Self.rehearsal(.embeddedModel, .auto, .f32).need(
            of: .encoding(height: 264, width: 328), count: 1, keptBytes: .max)
        // The rows of a picture are activations in a rehearsal only.
        #expect(abs(Double(need.activations) / Double(context.peakActivationBytes) - 1) < 0.05)
    }
}
