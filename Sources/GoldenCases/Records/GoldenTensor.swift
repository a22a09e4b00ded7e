import TensorCore
import Weights

/// A tensor of a case, or one computed for it: row-major, images as (n, c, h, w).
struct GoldenTensor: Equatable {
    enum Values: Equatable {
        case reals([Double])
        case integers([Int])
    }

    var shape: [Int]
    var values: Values

    var count: Int {
        switch values {
        case .reals(let list): list.count
        case .integers(let list): list.count
        }
    }

    /// The values as f32, whole numbers too.
    var floats: [Float] {
        switch values {
        case .reals(let list): list.map { Float($0) }
        case .integers(let list): list.map { Float($0) }
        }
    }
}

extension GoldenTensor {
    init(_ values: [Float], shape: [Int]) { self.init(shape: shape, values: .reals(values.map(Double.init))) }

    init(integers: [Int], shape: [Int]) { self.init(shape: shape, values: .integers(integers)) }

    /// Tensors of one shape and kind as the rows of one.
    init(stacking rows: [GoldenTensor]) throws(GoldenError) {
        self = rows[0]
        for row in rows.dropFirst() {
            switch (values, row.values) {
            case (.reals(let above), .reals(let below)) where row.shape == shape: values = .reals(above + below)
            case (.integers(let above), .integers(let below)) where row.shape == shape: values = .integers(above + below)
            default: throw .failed("the pictures of a batch gave tensors of different shapes")
            }
        }
        shape = [rows.count] + shape
    }

    /// Element `index` of the outermost dimension, as f32.
    func slice(_ index: Int) -> [Float] {
        let size = shape.dropFirst().reduce(1, *)
        return Array(floats[(index * size)..<((index + 1) * size)])
    }

    /// All elements of the outermost dimension, as f32.
    var slices: [[Float]] { (0..<shape[0]).map(slice) }
}

/// The tensors of one safetensors file of a case, read whole: the files are small.
struct TensorFile {
    let tensors: [String: GoldenTensor]

    init(path: String) throws {
        let file = try SafetensorsFile(path: path)
        var tensors: [String: GoldenTensor] = [:]
        for (key, stored) in file.tensors {
            if !stored.elementType.isFloatingPoint {
                tensors[key] = GoldenTensor(integers: try file.integers(key), shape: stored.shape)
            } else if stored.elementType == .f64 {
                let doubles = file.withBytes(of: key) { bytes, _ in
                    (0..<stored.count).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self) }
                }
                tensors[key] = GoldenTensor(shape: stored.shape, values: .reals(doubles ?? []))
            } else {
                tensors[key] = GoldenTensor(stored.count > 0 ? try file.tensor(key).array : [], shape: stored.shape)
            }
        }
        self.tensors = tensors
    }
}
