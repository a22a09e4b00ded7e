import DiffusionModels
import TensorCore

/// Decides which texts of a worker keep their keys and values between calls of the U-Net. The one place for this decision.
///
/// A text belongs to an open context. When the context closes, the keys and values that the text keeps go with it. All texts
/// together keep at most `limit` bytes: the text that was used last keeps its keys and values, and the texts that were unused
/// for longest forget theirs. The first call of a picture makes and copies the kept keys and values. Pictures that take turns
/// and exceed the limit together make them in each call.
final class TextKeyShelf {
    /// Room for two pictures of SDXL at a time with guidance and prompts of one chunk: in f32 each takes 102,502,400 bytes.
    static let limitBytes = 256 << 20

    private struct Entry {
        weak var text: UNetText?
    }

    private let limit: Int
    /// The texts that keep something; the text used last is last.
    private var entries: [Entry] = []

    init(limit: Int = limitBytes) { self.limit = limit }

    /// Bytes that texts keep or will keep after their next call.
    var bytes: Int { entries.reduce(0) { $0 + ($1.text?.keptBytes ?? 0) } }

    /// Lets the text keep its keys and values for a call of this network, if the limit permits.
    func use(_ text: UNetText, for unet: UNet) {
        entries.removeAll { $0.text == nil || $0.text === text }
        let (rows, tokens) = (text.vectors.shape[0], text.vectors.shape[1])
        guard unet.textKeyBytes(rows: rows, tokens: tokens) <= limit else { return text.forgetKeys() }
        text.keepKeys(for: unet)
        entries.append(Entry(text: text))
        while bytes > limit { entries.removeFirst().text?.forgetKeys() }
    }

    /// Frees the keys and values of networks that are gone.
    func clear() {
        entries.removeAll { entry in
            guard let text = entry.text, !text.isUseful else { return entry.text == nil }
            text.forgetKeys()
            return true
        }
    }
}
