import DiffusionModels
package import TensorCore
package import Weights

/// The memory of a worker, learnt by going through its tasks without computing them.
///
/// It builds the worker's networks from names and shapes, and runs them in a context that rehearses: results have their places
/// in memory, and only results that a task sends are touched. So large pictures cost little time and memory.
package final class WorkerRehearsal {
    private let context: ComputeContext
    private let runner: TaskRunner

    /// The library's operations for all tasks so far. It keeps one for each shape.
    package var operations: Int { context.counts.preparations }

    /// The memory of tasks, in bytes.
    package struct Need: Sendable, Equatable {
        /// Bytes of the networks, in the library's orders.
        package var weights = 0
        /// The most bytes of activations, with the tiles that stay between two sections.
        package var activations = 0
        /// Bytes of memory between activations that none of them fits into.
        package var gaps = 0
        /// Bytes of messages, and of arrays that are made from them or for them.
        package var data = 0

        /// Replaces the measured bytes of activations. The gaps shrink in proportion.
        fileprivate mutating func limit(to bytes: Int) {
            if bytes < activations { gaps = Int(Double(gaps) * Double(max(0, bytes)) / Double(max(1, activations))) }
            activations = max(0, bytes)
        }

        package var total: Int { weights + activations + gaps + data }
    }

    /// - Parameters:
    ///   - threads: of the worker.
    ///   - mapsFiles: whether the worker maps large networks from files of packed weights, one at a time.
    /// - Throws: as a worker's runner does. Ask `ComputeContext.canRehearse` first.
    package init(
        _ source: ModelSource, loras: LoRALibrary = .empty, backend: BackendChoice, threads: Int, precision: PrecisionChoice,
        mapsFiles: Bool
    ) throws(RenderError) {
        do {
            context = try ComputeContext(backend: backend, threads: threads, precision: precision, rehearses: true)
        } catch {
            throw RenderError(.compute, error.message)
        }
        runner = try TaskRunner(models: [source], loras: loras, context: context, rehearsesFiles: mapsFiles)
    }

    /// The most memory that a worker needs at once for tasks of a kind.
    ///
    /// - Parameters:
    ///   - count: the tasks of one call, or the tiles of one worker; at least 1.
    ///   - keptBytes: the most bytes of tiles, or of a picture, that stay in memory between two sections.
    package func need(
        of footprint: RenderForecast.Footprint, count: Int, keptBytes: Int
    ) throws(RenderError) -> Need {
        switch footprint {
        case .task(let task, let job):
            try runner.open(job)
            defer { runner.close(job.hash) }
            let tasks = [RenderTask](repeating: task, count: max(1, count))
            // The message, its numbers, the result, and its message.
            return try measured(data: 4 * tasks.count * task.payloadBytes) { () throws(RenderError) in
                _ = try runner.run(together: tasks)
            }
        case .decoding(let grid): return try decodeNeed(grid, tiles: max(1, count), keptBytes: max(0, keptBytes))
        case .encoding(let height, let width):
            let encoder = try runner.networks().encoder()
            context.trimMemory()
            let picture = ImageRows(height: height, width: width) { [context] in context.empty([1, $0.count, width, 3]) }
            // The message, its pixels, and a mask. The picture itself lies in files between two norms, in memory or on a disk,
            // which no process counts as its own.
            return try measured(data: 2 * height * width * 4) { () throws(RenderError) in
                try Self.rendering { () throws(ModelError) in _ = try encoder.encode(picture, memoryBytes: .max) }
            }
        }
    }

    /// The tiles of a worker go one by one through each section.
    private func decodeNeed(_ grid: TileGrid, tiles: Int, keptBytes: Int) throws(RenderError) -> Need {
        let networks = try runner.networks()
        let decoder = try networks.decoder()
        context.trimMemory()
        let vae = networks.parts.vae
        let image = TiledImage(
            context.empty([1, grid.image.height, grid.image.width, vae.latentChannels]), grid: grid)
        // The latent's message and numbers. The pixels of a tile, and of the one before: numbers, bytes, and their messages.
        let scale = networks.parts.architecture.scaleFactor
        let data =
            2 * grid.image.pointCount * vae.latentChannels * 4
            + min(2, tiles) * grid[grid.count / 2].pointCount * scale * scale * 3 * (4 + 3)
        guard grid.count > 1 else {
            return try measured(data: data) { () throws(RenderError) in
                try Self.rendering { () throws(ModelError) in _ = try decoder.decode(image) }
            }
        }
        let groups = [Double](repeating: 0, count: vae.normGroups)
        let middle = grid.count / 2
        // The rehearsal goes through every tile if they are few. If they are many, the middle one stands for all: tiles at
        // the borders are smaller.
        let first = max(0, min(middle - tiles / 2, grid.count - tiles))
        let own = tiles == 1 || tiles > Self.tilesAtMost ? [middle] : Array(first..<first + tiles)
        let others =
            own.count == tiles
            ? 0 : Double(grid.image.pointCount * tiles) / Double(grid.count) / Double(grid[middle].pointCount) - 1
        var (most, before) = (Need(), 0)
        for section in 0..<decoder.sectionCount {
            let moments = [GroupMoments](
                repeating: GroupMoments(count: 1, means: groups, scatters: groups), count: section)
            var need = try measured(data: data) { () throws(RenderError) in
                try Self.rendering { () throws(ModelError) in
                    for tile in own { _ = try decoder.run(section, tile: tile, of: image, moments: moments) }
                }
            }
            // The other tiles wait before this section or behind it. They, and the attention's keys and results, are in memory
            // as far as there is room.
            let kept = Double(max(before, image.keptTileBytes))
            let waiting = Int(min(1e15, kept * max(0, others)))
            let attention = image.keptBytes - image.keptTileBytes
            let gone = kept * Double(own.count - 1) / Double(own.count) + Double(attention + waiting)
            need.limit(to: need.activations + waiting - max(0, Int(gone) - keptBytes))
            before = image.keptTileBytes
            if need.total > most.total { most = need }
        }
        return most
    }

    /// The most tiles that are gone through.
    private static let tilesAtMost = 16

    private static func rendering(_ body: () throws(ModelError) -> Void) throws(RenderError) {
        do throws(ModelError) { try body() } catch { throw RenderError(.compute, naming: error.sentence) }
    }

    private func measured(data: Int, _ body: () throws(RenderError) -> Void) throws(RenderError) -> Need {
        context.forgetPeak()
        try body()
        let (peak, held) = (context.peakActivationBytes, context.peakHeldBytes)
        // The text's keys and values are copies outside the pool.
        return Need(
            weights: runner.models.weightBytes, activations: peak, gaps: max(0, held - peak),
            data: data + runner.models.textKeys.bytes)
    }
}
