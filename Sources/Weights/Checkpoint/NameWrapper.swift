import Glibc

/// The words that programs put before all names of what they save, such as `state_dict.` or `module.`, and the step
/// `_orig_mod.` that torch's compiler puts into the path of each module it compiles.
///
/// All files of a component are looked at together, because one of several may hold no name by which a network is recognised.
struct NameWrapper {
    /// What is taken off; empty for nothing.
    let prefix: String
    /// Whose names are looked for; nil for those of a complete checkpoint.
    private let component: String?

    private static let words = [
        "state_dict.", "model.", "module.", "vae.", CheckpointTraits.vaePrefix, "unet.", "text_encoder.", "text_encoder_2.",
    ]
    private static let maxWords = 4
    private static let compiled = "_orig_mod."

    /// - Parameter component: whose names are looked for; nil for those of a complete checkpoint.
    /// - Throws: `.malformed` when parts of the network are there with different words before them.
    init(_ files: [SafetensorsFile], _ component: String?) throws(WeightsError) {
        self.component = component
        let found = NameWrapper.prefixes(of: files, NameWrapper.beginnings(component)).sorted { $0.key < $1.key }
        if found.count > 1 {
            let (one, other) = (found[0].value, found[1].value)
            let place = one.file == other.file ? "" : "\(other.file) "
            throw WeightsError(
                .malformed,
                "\(one.file) holds \(quoted(one.name)), and \(place)\(quoted(other.name)) as well: parts of one network with "
                    + "different words before their names; remove those that are not meant.")
        }
        prefix = found.first?.key ?? ""
    }

    /// How names begin in files of a component, and in complete checkpoints.
    private static func beginnings(_ component: String?) -> [String] {
        switch component {
        case "unet": ["down_blocks.", "conv_in."]
        case "vae": ["decoder."]
        case "text_encoder", "text_encoder_2": ["text_model.", "encoder.layers."]
        default: [CheckpointTraits.unetPrefix]
        }
    }

    /// The words before names that begin as the component's do, each with the first such name and its file. Nothing where a
    /// name has no words before it: then the network is the one without. Empty tensors are parts of none.
    private static func prefixes(
        of files: [SafetensorsFile], _ beginnings: [String]
    ) -> [String: (name: String, file: String)] {
        func begins(_ name: Substring) -> Bool { beginnings.contains { name.utf8.starts(with: $0.utf8) } }
        var found: [String: (name: String, file: String)] = [:]
        for file in files {
            for (key, stored) in file.tensors where stored.count > 0 {
                let name = withoutCompiled(key)
                // A constant of training is no part that a network is built of.
                if ComponentNames.isHarmless(name) { continue }
                var rest = name[...]
                if begins(rest) { return [:] }
                for _ in 0..<maxWords {
                    guard let word = words.first(where: { rest.utf8.starts(with: $0.utf8) }) else { break }
                    rest = rest.dropFirst(word.count)
                    guard begins(rest) else { continue }
                    let part = (name: file.nameInFile(key), file: file.name)
                    let prefix = String(name[..<rest.startIndex])
                    found[prefix] = [found[prefix] ?? part, part].min { $0 < $1 }
                    break
                }
            }
        }
        return found
    }

    /// A name without the steps of torch's compiler.
    static func withoutCompiled(_ name: String) -> String {
        guard strstr(name, compiled) != nil else { return name }
        let steps = name.split(separator: ".", omittingEmptySubsequences: false)
        return steps.enumerated().filter { $0.offset == steps.count - 1 || $0.element != "_orig_mod" }.map(\.element)
            .joined(separator: ".")
    }

    /// A name without what is around it.
    func inner(_ key: String) -> String {
        let name = NameWrapper.withoutCompiled(key)
        return prefix.isEmpty ? name : name.dropping(prefix) ?? name
    }

    /// Whether a name, as the files have it, lies inside of the component's network, or of one of a checkpoint's.
    func isInside(_ key: String) -> Bool { isPart(inner(key)) }

    private func isPart(_ name: String) -> Bool {
        component.map { ComponentNames.isInside(name, $0) } ?? Checkpoint.isPart(name)
    }

    /// The file with its tensors under their inner names. A name that is no part of a network and would collide with another
    /// keeps what is around it.
    ///
    /// - Throws: `.malformed` when a part of a network is there with the words and without.
    func unwrap(_ file: SafetensorsFile) throws(WeightsError) -> SafetensorsFile {
        var changed: [String: String] = [:]
        var targets: Set<String> = []
        for key in file.tensors.keys {
            let name = inner(key)
            guard name != key else { continue }
            guard file.tensors[name] == nil, !targets.contains(name) else {
                guard isPart(name) else { continue }
                throw WeightsError(
                    .malformed, "\(file.name) holds \(quoted(name)) twice, once as \(quoted(key)); remove one.")
            }
            targets.insert(name)
            changed[key] = name
        }
        return changed.isEmpty ? file : SafetensorsFile(file) { changed[$0] ?? $0 }
    }
}

extension SafetensorsFile {
    /// The file without the words around its names; the file itself where there are none.
    ///
    /// - Parameter component: whose names are looked for; nil for those of a complete checkpoint.
    /// - Throws: `.malformed` when a part of a network is there with the words and without.
    func unwrapped(_ component: String?) throws(WeightsError) -> SafetensorsFile {
        try NameWrapper([self], component).unwrap(self)
    }
}
