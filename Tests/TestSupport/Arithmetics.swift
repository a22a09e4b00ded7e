public import TensorCore

extension BackendChoice {
    /// Every backend with every precision that this CPU has, for tests of what must hold for all of them.
    public static let arithmetics: [(backend: BackendChoice, precision: PrecisionChoice)] = libraries.flatMap { backend in
        PrecisionChoice.allCases
            .filter { $0 != .auto && (try? $0.resolved(backend)) != nil }
            .map { (backend, $0) }
    }
}
