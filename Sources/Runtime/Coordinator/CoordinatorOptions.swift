internal import Cluster
public import Weights

/// The settings of a coordinator.
public struct CoordinatorOptions: Sendable {
    /// The address to listen at: `tcp://HOST:PORT`, `ipc://PATH`, or `ipc://@NAME` for a name that leaves no file.
    public var endpoint: String
    /// The models for jobs. A job that names none gets the first.
    public var models: [ModelSource]
    /// The model store. Clients may use its names for these models.
    public var store: ModelStore?
    /// The LoRA files for jobs.
    public var loras = LoRALibrary.empty
    /// The secret of workers and clients. With nil everybody who reaches the address may join.
    public var joinToken: String?
    /// Whether the coordinator and its workers are one program. Then a lost connection is a dead worker, which does not come
    /// back, and a job that no worker can take for a minute fails.
    public var ownsItsWorkers: Bool
    /// Writes one line to the log. Called on the coordinator's thread.
    public var log: (@Sendable (String) -> Void)?
    /// Called once, on the coordinator's thread, if the coordinator ended because its socket broke. Its jobs have failed with
    /// the same error.
    public var onFailure: (@Sendable (RuntimeError) -> Void)?
    /// The cluster's numbers. Tests change them.
    var parameters: ClusterParameters?

    public init(
        endpoint: String, models: [ModelSource], joinToken: String? = nil, ownsItsWorkers: Bool = false,
        log: (@Sendable (String) -> Void)? = nil
    ) {
        self.endpoint = endpoint
        self.models = models
        self.joinToken = joinToken
        self.ownsItsWorkers = ownsItsWorkers
        self.log = log
    }

    var clusterParameters: ClusterParameters {
        if let parameters { return parameters }
        var parameters = ClusterParameters()
        if ownsItsWorkers {
            parameters.reconnectGrace = .milliseconds(0)
            parameters.failsStarvedJobs = true
        }
        return parameters
    }
}
