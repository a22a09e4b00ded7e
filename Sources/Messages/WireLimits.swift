/// All sizes that the protocol allows. The sender checks them before it encodes, the receiver before it reads.
public enum WireLimits {
    /// Bytes of frame 0.
    public static let headerBytes = 128
    /// Frames of a message.
    public static let frameCount = 3
    /// Bytes of frame 1.
    public static let metadataBytes = 64 << 10
    /// Bytes of frame 2: the latent of the largest picture must fit, and a picture to start from.
    public static let payloadBytes = 64 << 20
    /// The largest frame that a socket accepts: the largest payload, and room for encryption.
    public static let socketFrameBytes = Int64(payloadBytes + (64 << 10))
    /// Bytes of one piece of a finished picture.
    public static let resultChunkBytes = 4 << 20
    /// Bytes of the file of a finished picture: 16,384² pixels that no compression makes smaller, with their texts.
    public static let resultBytes = 1 << 30
    /// Pieces of one finished picture.
    public static let resultChunks = resultBytes / resultChunkBytes
    /// Pieces that a client asks for at once.
    public static let resultChunksAtOnce = 4
    /// Finished pictures that a coordinator keeps for their clients.
    public static let keptPictures = 64
    /// Bytes of the finished pictures that a coordinator keeps.
    public static let keptPictureBytes = 4 << 30
    /// Workers and clients connected at once.
    public static let sessions = 4096
    /// Stages of one picture.
    public static let stages = 64
    /// Bytes of the pictures of all jobs that wait or run.
    public static let attachmentBytes = 1 << 30
    /// Jobs that wait or run.
    public static let jobs = 1000
    /// Leases named in one list.
    public static let leasesPerList = 256
    /// Models a worker may offer.
    public static let models = 64
    /// Bytes of an explaining text.
    public static let textBytes = 1 << 10
    /// Texts and settings of an explaining sentence.
    public static let sentenceParts = 64
    /// Bytes of a name: host, class, build.
    public static let nameBytes = 256
    /// The most operations that a worker may report for one task: nineteen hours of a teraflop a second.
    public static let operationsPerTask = 1 << 56
    /// The most bytes of memory that a worker may report: more than any host has.
    public static let memoryBytes = 1 << 50
    /// Compute slots of one worker.
    public static let slots = 256
    /// Leases of one worker: two groups, the one that it computes and the next.
    public static let credit = 2 * slots
    /// Control messages that wait for a peer with a full queue. With more the coordinator ends the session; a worker drops the
    /// oldest.
    public static let queuedControlMessages = 64
}
