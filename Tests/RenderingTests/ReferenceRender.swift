import Foundation
import RandomStreams

@testable import Rendering

/// The network of these tests: what it predicts is a · x + b · the mean of the four neighbours, zeros outside; it ignores time.
enum StubNetwork {
    static func predict(_ x: [Double], _ channels: Int, _ height: Int, _ width: Int) -> [Double] {
        var result = x
        for channel in 0..<channels {
            for row in 0..<height {
                for column in 0..<width {
                    func at(_ row: Int, _ column: Int) -> Double {
                        guard (0..<height).contains(row), (0..<width).contains(column) else { return 0 }
                        return x[(channel * height + row) * width + column]
                    }
                    let around = at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1)
                    result[(channel * height + row) * width + column] = 0.6 * at(row, column) - 0.3 * around / 4
                }
            }
        }
        return result
    }

    /// Does a task as a worker would.
    static func run(_ task: RenderTask, _ plan: RenderPlan, _ model: ModelDescription) -> TaskOutput {
        switch task.work {
        case .encode(let work):
            let (rows, tokens) = (work.ids[0].count, work.ids[0][0].count)
            return .embeddings(
                rows: rows, tokens: tokens, width: model.textWidth,
                values: [Float](repeating: 0.5, count: rows * tokens * model.textWidth),
                pooled: [Float](repeating: 0.25, count: rows * (model.pooledWidth ?? 0)))
        case .encodePicture(let work):
            let (height, width) = (work.height / 8, work.width / 8)
            return .moments(
                Latent(
                    channels: 8, height: height, width: width, values: [Float](repeating: 0.25, count: 8 * height * width)))
        case .denoise(let work):
            var latent = work.latent
            latent.values = predict(latent.values.map(Double.init), latent.channels, latent.height, latent.width).map {
                Float($0)
            }
            return .prediction(latent)
        case .decode(let latent):
            let (width, height) = (latent.width * 8, latent.height * 8)
            return .pixels(width: width, height: height, rgb: [UInt8](repeating: 9, count: width * height * 3))
        }
    }
}

/// CutDiffusion and plain denoising written down once more, straight from the specification (sections 1.3 to 1.10), in double
/// precision, point by point and with nothing shared with the machine but the random streams.
struct ReferenceRender {
    struct Cut {
        var patch: Int
        var stride: Int
        var structureSteps: Int
    }

    let (height, width): (Int, Int)
    let steps: Int
    let seed: UInt64
    let cut: Cut?
    let schedule: ReferenceSchedule
    private let channels = 4
    /// What the network was shown, task by task, and in the end the finished latent.
    private(set) var shown: [[[Double]]] = []

    init(height: Int, width: Int, steps: Int, seed: UInt64, cut: Cut?, schedule: ReferenceSchedule) {
        (self.height, self.width, self.steps, self.seed) = (height, width, steps, seed)
        (self.cut, self.schedule) = (cut, schedule)
    }

    mutating func run() {
        var generator = TorchCPUGenerator(seed: seed)
        func noise(_ count: Int) -> [Double] { generator.normals(count: count).map(Double.init) }
        guard let cut else {
            var x = noise(channels * height * width).map { $0 * schedule.initialScale }
            for step in 0..<steps {
                let input = x.map { $0 * schedule.inputScale(step) }
                shown.append([input])
                let fresh = schedule.eta > 0 ? noise(x.count) : nil
                x = schedule.step(x, StubNetwork.predict(input, channels, height, width), step, fresh)
            }
            shown.append([x])
            return
        }
        let (rows, patchHeight) = Self.axis(height, cut.patch)
        let (columns, patchWidth) = Self.axis(width, cut.patch)
        var patches = (0..<(rows * columns)).map { _ in
            noise(channels * patchHeight * patchWidth).map { $0 * schedule.initialScale }
        }
        for step in 0..<cut.structureSteps {
            let (mixed, owner) = interact(patches, step)
            let inputs = mixed.map { $0.map { $0 * schedule.inputScale(step) } }
            shown.append(inputs)
            var predictions = patches
            for n in patches.indices {
                let predicted = StubNetwork.predict(inputs[n], channels, patchHeight, patchWidth)
                for q in predicted.indices { predictions[owner[q][n]][q] = predicted[q] }
            }
            for n in patches.indices {
                let fresh = schedule.eta > 0 ? noise(patches[n].count) : nil
                patches[n] = schedule.step(patches[n], predictions[n], step, fresh)
            }
        }
        var canvas = [Double](repeating: 0, count: channels * height * width)
        for c in 0..<channels {
            for y in 0..<height {
                for x in 0..<width {
                    let patch = patches[(y % rows) * columns + x % columns]
                    canvas[(c * height + y) * width + x] = patch[(c * patchHeight + y / rows) * patchWidth + x / columns]
                }
            }
        }
        for step in cut.structureSteps..<steps {
            let fresh = schedule.eta > 0 ? noise(canvas.count) : nil
            canvas = detail(canvas, fresh, cut, step)
        }
        shown.append([canvas])
    }

    /// Patches down one axis and their length: exact multiples as they are, other sizes near the patch in steps of eight.
    static func axis(_ length: Int, _ patch: Int) -> (Int, Int) {
        let count = Int((Double(length) / Double(patch)).rounded(.up))
        if count == 1 || length % patch == 0 { return (count, min(length, patch)) }
        let share = Double(length) / Double(count)
        return (count, min(patch, Int((share / 8).rounded(.up)) * 8))
    }

    private func interact(_ patches: [[Double]], _ step: Int) -> (mixed: [[Double]], owner: [[Int]]) {
        var (mixed, owners) = (patches, [[Int]]())
        for q in patches[0].indices {
            var stream = HashStream(seed: seed, purpose: .interaction, step: step, index: q)
            var order = Array(0..<patches.count)
            for k in 0..<(patches.count - 1) { order.swapAt(k, k + stream.integer(below: patches.count - k)) }
            for n in patches.indices { mixed[n][q] = patches[order[n]][q] }
            owners.append(order)
        }
        return (mixed, owners)
    }

    /// Starts of the windows on an axis, by the specification's formula.
    static func starts(_ length: Int, _ window: Int, _ stride: Int) -> [Int] {
        guard length > window else { return [0] }
        let count = Int(Double(length - window) / Double(stride) - 1e-6) + 2
        return (0..<count).map { $0 * stride + window > length ? length - window : $0 * stride }
    }

    private mutating func detail(_ canvas: [Double], _ fresh: [Double]?, _ cut: Cut, _ step: Int) -> [Double] {
        let (windowHeight, windowWidth) = (min(cut.patch, height), min(cut.patch, width))
        let radius = (cut.patch - cut.stride) / 4
        var (sums, counts) = ([Double](repeating: 0, count: canvas.count), [Double](repeating: 0, count: canvas.count))
        var (index, inputs) = (0, [[Double]]())
        func moved(_ start: Int, _ window: Int, _ length: Int, _ stream: inout HashStream) -> Int {
            if window >= length { return 0 }
            if start == 0 { return stream.integer(in: -radius...0) }
            return start + stream.integer(in: start + window == length ? 0...radius : -radius...radius)
        }
        for top in Self.starts(height, cut.patch, cut.stride) {
            for left in Self.starts(width, cut.patch, cut.stride) {
                var stream = HashStream(seed: seed, purpose: .jitter, step: step, index: index)
                index += 1
                let left = moved(left, windowWidth, width, &stream)
                let top = moved(top, windowHeight, height, &stream)
                func crop(_ canvas: [Double]) -> [Double] {
                    eachPoint(windowHeight, windowWidth) { c, y, x in
                        place(c, top + y, left + x).map { canvas[$0] } ?? 0
                    }
                }
                let x = crop(canvas)
                let input = x.map { $0 * schedule.inputScale(step) }
                inputs.append(input)
                let next = schedule.step(
                    x, StubNetwork.predict(input, channels, windowHeight, windowWidth), step, fresh.map(crop))
                var point = 0
                _ = eachPoint(windowHeight, windowWidth) { c, y, x in
                    if let target = place(c, top + y, left + x) {
                        (sums[target], counts[target]) = (sums[target] + next[point], counts[target] + 1)
                    }
                    point += 1
                    return 0
                }
            }
        }
        shown.append(inputs)
        return zip(sums, counts).map { $0 / $1 }
    }

    private func place(_ c: Int, _ y: Int, _ x: Int) -> Int? {
        (0..<height).contains(y) && (0..<width).contains(x) ? (c * height + y) * width + x : nil
    }

    private func eachPoint(_ height: Int, _ width: Int, _ body: (Int, Int, Int) -> Double) -> [Double] {
        (0..<channels).flatMap { c in (0..<height).flatMap { y in (0..<width).map { x in body(c, y, x) } } }
    }
}

/// DDIM and Euler for the embedded model's schedule (scaled linear, 0.00085 to 0.012, leading, offset 1), in double precision.
struct ReferenceSchedule {
    let isEuler: Bool
    let predictsVelocity: Bool
    let eta: Double
    private let steps: Int
    private let signal: [Double]

    init(isEuler: Bool, predictsVelocity: Bool, eta: Double, steps: Int) {
        (self.isEuler, self.predictsVelocity, self.eta, self.steps) = (isEuler, predictsVelocity, eta, steps)
        var (product, signal) = (1.0, [Double]())
        for t in 0..<1000 {
            let root = 0.00085.squareRoot() + (0.012.squareRoot() - 0.00085.squareRoot()) * Double(t) / 999
            product *= 1 - root * root
            signal.append(product)
        }
        self.signal = signal
    }

    func timestep(_ step: Int) -> Int { (steps - 1 - step) * (1000 / steps) + 1 }

    private func sigma(_ step: Int) -> Double {
        guard step < steps else { return 0 }
        let a = signal[timestep(step)]
        return ((1 - a) / a).squareRoot()
    }

    var initialScale: Double { isEuler ? (sigma(0) * sigma(0) + 1).squareRoot() : 1 }

    func inputScale(_ step: Int) -> Double { isEuler ? 1 / (sigma(step) * sigma(step) + 1).squareRoot() : 1 }

    func step(_ x: [Double], _ output: [Double], _ step: Int, _ noise: [Double]?) -> [Double] {
        if isEuler {
            let (now, next) = (sigma(step), sigma(step + 1))
            return zip(x, output).map { x, output in
                let clean =
                    predictsVelocity ? x / (now * now + 1) - output * now / (now * now + 1).squareRoot() : x - now * output
                return x + (x - clean) / now * (next - now)
            }
        }
        let now = signal[timestep(step)]
        let before = timestep(step) - 1000 / steps
        // The embedded model's `set_alpha_to_one` is false.
        let after = before >= 0 ? signal[before] : signal[0]
        let deviation = eta * ((1 - after) / (1 - now) * (1 - now / after)).squareRoot()
        return x.indices.map { i in
            let (x, output) = (x[i], output[i])
            let clean =
                predictsVelocity
                ? now.squareRoot() * x - (1 - now).squareRoot() * output
                : (x - (1 - now).squareRoot() * output) / now.squareRoot()
            let epsilon = predictsVelocity ? now.squareRoot() * output + (1 - now).squareRoot() * x : output
            return after.squareRoot() * clean + (1 - after - deviation * deviation).squareRoot() * epsilon
                + deviation * (noise?[i] ?? 0)
        }
    }
}
