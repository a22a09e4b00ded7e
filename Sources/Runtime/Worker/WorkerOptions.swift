internal import Cluster
public import TensorCore
public import Weights

/// The settings of a worker.
public struct WorkerOptions: Sendable {
    /// The coordinator's address.
    public var endpoint: String
    /// The models it can run.
    public var models: [ModelSource]
    /// The LoRA files that jobs name by their content.
    public var loras = LoRALibrary.empty
    public var backend: BackendChoice
    /// The memory for hashes with which the models were opened, for the log.
    public var digests: DigestMemory?
    /// The arithmetic of its networks.
    public var precision = PrecisionChoice.f32
    /// The files of packed weights that this host's workers share; nil keeps all weights in memory.
    public var packedWeights: PackedWeights.Setting?
    /// Threads to compute with.
    public var threads: Int
    /// The coordinator's secret, where it has one.
    public var joinToken: String?
    /// A descriptor whose hang-up ends the process at once. So a parent leaves no worker behind, however it dies. A worker with
    /// a lifeline also ends when its coordinator says goodbye; others look for it again.
    public var lifelineFD: Int32?
    /// A name for people.
    public var name: String
    /// One line for each thing an operator may want to know. Called on any of the worker's threads.
    public var log: (@Sendable (String) -> Void)?
    /// The most tasks that it computes in one call of the network. It takes fewer where memory is short or a call would be
    /// long. Results do not depend on it.
    public var group: Int {
        get { parameters.slots }
        set { parameters.slots = max(1, min(newValue, WorkerOptions.largestGroup)) }
    }
    var parameters = WorkerParameters()
    /// Bytes of memory that it may use, as it tells the coordinator. Tests change them.
    var memoryBytes = HostMemory.totalBytes()

    /// The largest group. The tests compare the bits of groups of up to this size.
    public static let largestGroup = 8
    /// The group of a worker that is told nothing. With the embedded model groups of eight took 1.80 s of processor time where
    /// groups of four took 1.83 s and single tasks 2.07 s; and groups of four spread the last tasks of a barrier more evenly.
    public static let usualGroup = 4

    public init(
        endpoint: String, models: [ModelSource], backend: BackendChoice = .auto, threads: Int, joinToken: String? = nil,
        lifelineFD: Int32? = nil, name: String, log: (@Sendable (String) -> Void)? = nil
    ) {
        self.endpoint = endpoint
        self.models = models
        self.backend = backend
        self.threads = threads
        self.joinToken = joinToken
        self.lifelineFD = lifelineFD
        self.name = name
        self.log = log
        parameters.slots = WorkerOptions.usualGroup
    }
}
