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

    init(shape: [Int], values: Values) {
        self.shape = shape
        self.values = values
    }

    init(_ values: [Float], shape: [Int]) { self.init(shape: shape, values: .reals(values.map(Double.init))) }

    init(integers: [Int], shape: [Int]) { self.init(shape: shape, values: .integers(integers)) }

    /// A tensor in its own order: tokens, embeddings.
    init(plain tensor: Tensor) { self.init(tensor.array, shape: tensor.shape) }

    /// A channels-last image.
    init(image tensor: Tensor) {
        let s = tensor.shape
        self.init(tensor.planarArray, shape: [s[0], s[3], s[1], s[2]])
    }

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

/// The tensors of one safetensors file of a case, read whole: the files are small.
struct TensorFile {
    let name: String
    let tensors: [String: GoldenTensor]

    init(path: String, name: String) throws(GoldenError) {
        self.name = name
        let file: SafetensorsFile
        do { file = try SafetensorsFile(path: path) } catch { throw GoldenError.failed("\(error)") }
        var tensors: [String: GoldenTensor] = [:]
        for (key, stored) in file.tensors {
            do { tensors[key] = try TensorFile.read(key, stored, file) } catch { throw GoldenError.failed("\(error)") }
        }
        self.tensors = tensors
    }

    private static func read(
        _ key: String, _ stored: StoredTensor, _ file: SafetensorsFile
    ) throws(WeightsError) -> GoldenTensor {
        guard stored.elementType.isFloatingPoint else {
            return GoldenTensor(integers: try file.integers(key), shape: stored.shape)
        }
        if stored.elementType == .f64, let doubles = doubles(key, file) {
            return GoldenTensor(shape: stored.shape, values: .reals(doubles))
        }
        guard stored.count > 0 else { return GoldenTensor([], shape: stored.shape) }
        return GoldenTensor(try file.tensor(key).array, shape: stored.shape)
    }

    private static func doubles(_ key: String, _ file: SafetensorsFile) -> [Double]? {
        file.withBytes(of: key) { bytes, stored in
            (0..<stored.count).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self) }
        }
    }
}
