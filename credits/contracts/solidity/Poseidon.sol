// SPDX-License-Identifier: MIT OR Apache-2.0
// Written by `credits/contracts/src/poseidon.rs`, which explains it; `cargo run --bin poseidon` writes it again.
pragma solidity 0.8.37;

// Roots of empty subtrees of the note tree, level 0 first, 32 bytes each. An empty leaf is 0.
bytes constant EMPTY_NODES =
    hex"0000000000000000000000000000000000000000000000000000000000000000"
    hex"0532fd436e19c70e51209694d9c215250937921b8b79060488c1206db73e9946"
    hex"1ea8dbbca1ca3a574b1b871aad1e8bc47571c7e11a99a6fb25f3f19d4bfad32c"
    hex"1b98ec5a992cd3688e655aef8674386f4e84f0a442eaab4840427e359c214dd2"
    hex"0fd83a3939005974d559c13c652a31942ffd61cab9a038e04239af96cafaee14"
    hex"11eb54967ae25ce42205223461cda9dbb1a1811db38b71e404d1fd94c9627777"
    hex"1c682a99981cf10a215d2788721e0ca060ddc0932cbb04c903eee3bd899dcfc0"
    hex"2b3de1ae8e72d64a5cb03934061e3fd03789273f370e32d576ae54b4cbeca719"
    hex"1b64ed0dc55f80f1f3da256b451baf16110fc268311a13fe903f87945b734861"
    hex"06efb4c4a55b0225fd1088d357b2432f422b0593015c57980e373ecef9029c72"
    hex"262138dff44f5352d2d7ec48461c771444a6c00c761a3263735d0a99143a51f1"
    hex"07ea118d86ace14a8eaa26fc18b36fefe7d5f5b00e0eb9ebfd1c88f37131c178"
    hex"0c2a4af81a2cd78159ce2f3d7ee05367fc5b3c3e1becea2a86d1e66dd27ffb7f"
    hex"1a953a710c22f79c369c976fc9981ffdbfe236695297fec65886e645e6fa2884"
    hex"16b0c5e286286eb6c4774ad6292b4f0bdc5b36cb7890b27544268892ae255e0d"
    hex"2dd7186449cc82702fb8f2d7fa86e0095263f8afb521e1976f499e67a0d7cbb8"
    hex"151399c724e17408a7a43cdadba2fc000da9339c56e4d49c6cdee6c4356fbc68";

/// Poseidon of 3 elements, each below r: what is not must not come here.
library PoseidonT4 {
    /// Puts the round constants into memory, and room for the lanes behind them; `hash` wants their address.
    function load() internal pure returns (uint256 table) {
        bytes memory constants =
            hex"19b849f69450b06848da1d39bd5e4a4302bb86744edc26238b0878e269ed23e5"
            hex"265ddfe127dd51bd7239347b758f0a1320eb2cc7450acc1dad47f80c8dcf34d6"
            hex"199750ec472f1809e0f66a545e1e51624108ac845015c2aa3dfc36bab497d8aa"
            hex"157ff3fe65ac7208110f06a5f74302b14d743ea25067f0ffd032f787c7f1cdf8"
            hex"2e49c43c4569dd9c5fd35ac45fca33f10b15c590692f8beefe18f4896ac94902"
            hex"0e35fb89981890520d4aef2b6d6506c3cb2f0b6973c24fa82731345ffa2d1f1e"
            hex"251ad47cb15c4f1105f109ae5e944f1ba9d9e7806d667ffec6fe723002e0b996"
            hex"13da07dc64d428369873e97160234641f8beb56fdd05e5f3563fa39d9c22df4e"
            hex"0c009b84e650e6d23dc00c7dccef7483a553939689d350cd46e7b89055fd4738"
            hex"011f16b1c63a854f01992e3956f42d8b04eb650c6d535eb0203dec74befdca06"
            hex"0ed69e5e383a688f209d9a561daa79612f3f78d0467ad45485df07093f367549"
            hex"04dba94a7b0ce9e221acad41472b6bbe3aec507f5eb3d33f463672264c9f789b"
            hex"0a3f2637d840f3a16eb094271c9d237b6036757d4bb50bf7ce732ff1d4fa28e8"
            hex"259a666f129eea198f8a1c502fdb38fa39b1f075569564b6e54a485d1182323f"
            hex"28bf7459c9b2f4c6d8e7d06a4ee3a47f7745d4271038e5157a32fdf7ede0d6a1"
            hex"0a1ca941f057037526ea200f489be8d4c37c85bbcce6a2aeec91bd6941432447"
            hex"0a62a6b7bab08de4c593a56ab8e79679f66635d7bc9ec1f88185129c1deef275"
            hex"27280cb430ae20157e4779a79e2bd01d416597bc64db68deb1ce0d4e516a6790"
            hex"0d852b3d6ae0d5db346f7a8e31919df15e8d0bebbf60e71c629e30f38e4a1fe8"
            hex"1bff7a539e8446b2936e31803303cc6fb936e1044079a3ceb00f8fea7cf90451"
            hex"2d1bd78fa90e77aa88830cabfef2f8d27d1a512050ba7db0753c8fb863efb387"
            hex"065610c6f4f92491f423d3071eb83539f7c0d49c1387062e630d7fd283dc3394"
            hex"2d933ff19217a5545013b12873452bebcc5f9969033f15ec642fb464bd607368"
            hex"1aa9d3fe4c644910f76b92b3e13b30d500dae5354e79508c3c49c8aa99e0258b"
            hex"027ef04869e482b1c748638c59111c6b27095fa773e1aca078cea1f1c8450bdd"
            hex"2b7d524c5172cbbb15db4e00668a8c449f67a2605d9ec03802e3fa136ad0b8fb"
            hex"0c7c382443c6aa787c8718d86747c7f74693ae25b1e55df13f7c3c1dd735db0f"
            hex"00b4567186bc3f7c62a7b56acf4f76207a1f43c2d30d0fe4a627dcdd9bd79078"
            hex"1e41fc29b825454fe6d61737fe08b47fb07fe739e4c1e61d0337490883db4fd5"
            hex"12507cd556b7bbcc72ee6dafc616584421e1af872d8c0e89002ae8d3ba0653b6"
            hex"13d437083553006bcef312e5e6f52a5d97eb36617ef36fe4d77d3e97f71cb5db"
            hex"163ec73251f85443687222487dda9a65467d90b22f0b38664686077c6a4486d5"
            hex"0c6f8f958be0e93053d7fd4fc54512855535ed1539f051dcb43a26fd926361cf"
            hex"2620ffb7054283939d0039e1df8be66a238597446f6446554dc01dc606d243e8"
            hex"1918338baf6f53cc6edbb1302c48561f6d2cd705ba68dbf992173ed731e76316"
            hex"0682a62b61afb59f5bc3df2e05c4874989004b8a59233f7f09af8a19d2015bba"
            hex"0c8b4b28b258a739ce8fc43bf31901399ec4047ccc322a6fc8f3190ebaf29fca"
            hex"13cd5e6734d35efbcad0fed865624c3815f1fb006f27b4b15cbe9481ffabb428"
            hex"2d671a6092b96a4c41eabee8684f615242d599fbf0912549ee12cfd668ddeb55"
            hex"1f18b46a12125fd17ae50faba6bbd873700fda2b394a3b81ab66a01bf386cf1b"
            hex"1089984010410b8e122db6504471d6758841a8d48316439d487aa50c864fb3cb"
            hex"2c88ec19d367c3c3580f68203499cc5a6182611d27a8d7c56cb6a16a20626c05"
            hex"1ab987820ba5b8fbf3c5213e062f723d02f9b62b9f24ae3bb0a60d8960cb4205"
            hex"0e0cca528aafd8376c29d1c46eee7dc91870fe921d8461aaceb82dd58be44dfb"
            hex"162f411c623ded1b29fb59c0bef865c76096621d5264a7712dcc9f1a1da1b0e8"
            hex"2afba7e4e4a7509760569e244f5bc1195386bcc59f1c111bee8127a09ea7bad3"
            hex"00141a6bf1995aa9734f123b23fda8ed81bd87a33c7129b3c37e3cd1d92e185d"
            hex"19972ee0f14bd2106924669e40624c97033aba00aa63d38617e4c13d3a6f3a9b"
            hex"0ae0372903519bf27428d0ec2fd62f360f8a05ab7b29674d48d6bf178c43deba"
            hex"26a05557d77fb298233a538219bd1fa3a2c8bd82d1fbd9fe7c8aec8ab5ff1ca9"
            hex"24e11cc7f16f2c3dc2139b9def557d0c0959b9ddc79fc596238858da342d07f8"
            hex"1f9984ac4406b6c2049e227a3a0080be16fb290ba96b0fe48a09a9a38e57159a"
            hex"214b44cce576b3ad17100e015a334443d2653b53c21112b55287a181fb1d61f1"
            hex"14d9fd2141ae6e001a8a1f433ee1915172c529b0d88d03ec0a30e0fe3fb8f772"
            hex"18a5dec339c72bfff87df6bc470ec6c840a70ed30f7566a7d6a4fccf5d69734e"
            hex"253e1a54466a03df7dd4185ed7a1116fe68b6889e58d08df2b39b6b5a5cd169a"
            hex"053df287b83bb930321b3ed8a18a3f765caf985dfcf1479f5225d3a610485ad2"
            hex"08a30c3bd393c0a41c1f9c898b117c6cb88ff60d09612d83fdd15e098d18dd03"
            hex"21bf4a5953847544da72116c1381d84e3dc071472f65197d88b6bf71d3575146"
            hex"0ec48b08737d17830a72420f33b2a37206cc717642ed264ced3fb0aea0156fc8"
            hex"27a96e85721d29b9bee7046267d26e2f3544d89cea1c589b931cd3f7b0fa2dca"
            hex"11eb029b3dc117795cab5d98ef46637e025a548937a473d0a2906ef68544e09d"
            hex"1a5b62a16708e3e988528d6558addcf5dc1914d268c1fd8d4d22167d48717168"
            hex"2aec558198288e192be0e9a2667f2f43691e386d1d6f50cd815bdddd16699704"
            hex"27c383c5576389cf7c7d3cabb0e594bfc88c0e40d8b4c084582e805222a343f9"
            hex"00598ad4b7cd69be53e656618d9ae7d6d35da16fd83d0fd015cf60463790bbd6"
            hex"231f01a278bbb91952064101d73e8c798a2d3764ee70a5466ad9a10d537e3d00"
            hex"08cdf5ba46bd58bc78385439c73bab3a00610b9484b2386abb5bedc16a9badad"
            hex"288645e132ce797ecdf907d4c70dc1e1509af366b80974bdd4a8baaac0c58673"
            hex"24bf62a2c9064a1544eb495510a0ee54b73939c5eb936435d86bca9441444e73"
            hex"05b0d7f549fe91e81590f8d9d7658efa4053b8d3b0a961350d582e8e617bfcbc"
            hex"21a4bf8724bad6f6aed2db84b55b8aba92a357fc2b4c88b77bc105cb320f38ad"
            hex"11329b1f8532ffdd44f866f4c8256b674b3e35fe3fc254880453960529b298dc"
            hex"12bf1a2320a87a0e5fd27fb4bdb0f7e73c37d91905d941ea714291d87be271ca"
            hex"18fd8831e849957236775b7fd2272cb6b3a412ff9d13ada916dd76f1330f91a0"
            hex"1fcc2f7b5fef0acf6f471fcab040d1447a8610a46dbbfb9e64c71a7524c44e52"
            hex"120fb520b04c18dfdfbea82b5f224dc9f010f087c5e993c94a9f762e802c3e0b"
            hex"294c6b29bdc3c4f84f0b64fdf677285e035722c5e8d159667ed4780d973f4e4b"
            hex"03982bb48358c9955e8ea1e5110f57e1a302dc3240a6740ae05737b9b96427ae"
            hex"1fed757b01b983354c22d6f7761b50fac2521813b177c5b01c11965f60e453a8"
            hex"0954da6a1ea9f311f70c494030bd2aa6a5f82b1e34b1f285ef3f8282bc712095"
            hex"10d57356cb7466c5b47eafc87af1fff7b6b47aaeccd88e3544aed48a4eb5ebdb"
            hex"1eb7a54849270a8eb708253bb397b53791c03bf57a948f7fe8471f6f9f754f09"
            hex"095869e7453a25e8cee1e78df248305cb9cd3bcfa08c9e1b878bf46e1cf179b2"
            hex"08f73b54f79e79aa0e61f24a613ea74aa187473f731ab7ea0569a5e6978c43ca"
            hex"241b2f89751eeb6223797927d042164e1221e79543fb23abc5f7a73e8f0d0983"
            hex"21578d8849f852d17a15ec016bc74f3a3291c89055fe92a01db764fb772c9db3"
            hex"1be16804edee366e87869c21a1f56fb1aed3eda0cc5aa513bb23b9d96857d7a7";
        assembly ("memory-safe") {
            table := add(constants, 32)
            mstore(0x40, add(mload(0x40), 128))
        }
    }

    /// The hash, below r.
    function hash(uint256 table, uint256 a1, uint256 a2, uint256 a3) internal pure returns (uint256 digest) {
        assembly ("memory-safe") {
            function full(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                mstore(add(lanes, 0), add(add(add(mulmod(x0, 0x236d13393ef85cc48a351dd786dd7a1de5e39942296127fd87947223ae5108ad, r),
                        mulmod(x1, 0x277686494f7644bbc4a9b194e10724eb967f1dc58718e59e3cedc821b2a7ae19, r)),
                        mulmod(x2, 0x023db68784e3f0cc0b85618826a9b3505129c16479973b0a84a4529e66b09c62, r)),
                        mulmod(x3, 0x1d359d245f286c12d50d663bae733f978af08cdbd63017c57b3a75646ff382c1, r)))
                mstore(add(lanes, 32), add(add(add(mulmod(x0, 0x2a75a171563b807db525be259699ab28fe9bc7fb1f70943ff049bc970e841a0c, r),
                        mulmod(x1, 0x083abff5e10051f078e2827d092e1ae808b4dd3e15ccc3706f38ce4157b6770e, r)),
                        mulmod(x2, 0x1a5ad71bbbecd8a97dc49cfdbae303ad24d5c4741eab8b7568a9ff8253a1eb6f, r)),
                        mulmod(x3, 0x0d745fd00dd167fb86772133640f02ce945004a7bc2c59e8790f725c5d84f0af, r)))
                mstore(add(lanes, 64), add(add(add(mulmod(x0, 0x2070679e798782ef592a52ca9cef820d497ad2eecbaa7e42f366b3e521c4ed42, r),
                        mulmod(x1, 0x2e18c8570d20bf5df800739a53da75d906ece318cd224ab6b3a2be979e2d7eab, r)),
                        mulmod(x2, 0x0fa86f0f27e4d3dd7f3367ce86f684f1f2e4386d3e5b9f38fa283c6aa723b608, r)),
                        mulmod(x3, 0x03f3e6fab791f16628168e4b14dbaeb657035ee3da6b2ca83f0c2491e0b403eb, r)))
                mstore(add(lanes, 96), add(add(add(mulmod(x0, 0x2f545e578202c9732488540e41f783b68ff0613fd79375f8ba8b3d30958e7677, r),
                        mulmod(x1, 0x23810bf82877fc19bff7eefeae3faf4bb8104c32ba4cd701596a15623d01476e, r)),
                        mulmod(x2, 0x014fcd5eb0be6d5beeafc4944034cf321c068ef930f10be2207ed58d2a34cdd6, r)),
                        mulmod(x3, 0x00c15fc3a1d5733dd835eae0823e377f8ba4a8b627627cc2bb661c25d20fb52a, r)))
            }
            function last(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                mstore(add(lanes, 0), addmod(add(add(mulmod(x0, 0x236d13393ef85cc48a351dd786dd7a1de5e39942296127fd87947223ae5108ad, r),
                        mulmod(x1, 0x277686494f7644bbc4a9b194e10724eb967f1dc58718e59e3cedc821b2a7ae19, r)),
                        mulmod(x2, 0x023db68784e3f0cc0b85618826a9b3505129c16479973b0a84a4529e66b09c62, r)),
                        mulmod(x3, 0x1d359d245f286c12d50d663bae733f978af08cdbd63017c57b3a75646ff382c1, r), r))
                mstore(add(lanes, 32), addmod(add(add(mulmod(x0, 0x2a72c2eb9cc6bd475fc9a3a37b6d76659f7e9b29c53a7e7bd8a53e63656fcb53, r),
                        mulmod(x1, 0x1e0fd2de6c8c453cae04e70640c959f22a13891a495626f9b970d17eb2026086, r)),
                        mulmod(x2, 0x0b70a2ea63ee7c104e252d81b325e62c0bc6954fe77765788ef81191dde5619c, r)),
                        mulmod(x3, 0x22976d9dc830bf753d964ba45705878bbfc47dc138201881922658322be93bde, r), r))
                mstore(add(lanes, 64), addmod(add(add(mulmod(x0, 0x140a8cd4ff56ceca5fd8b2b0e681a6c325e0d37f9a2e92c48305567ea10fb254, r),
                        mulmod(x1, 0x00337128a143bdd9997edfd0878c7dd84a7c5cafce70b63aecae0adf01ebc891, r)),
                        mulmod(x2, 0x2fdd504f1b4374d7a02dfa100370b8f654de77d46e2b51d22bbde3fdb90cd11e, r)),
                        mulmod(x3, 0x0e470f92c83bab59cb09bad709b13846635206e9decc5cfb8c1aea09e160fb54, r), r))
                mstore(add(lanes, 96), addmod(add(add(mulmod(x0, 0x25099e0c1669c000294ec9d369bd1129f0f7799d7c8bb9507ebfc7998ab61a67, r),
                        mulmod(x1, 0x0349879504fcfe9d19aff99e43c49712a1fcf5ff50a1d0c805dd63213292d2d9, r)),
                        mulmod(x2, 0x0fbd7944f5cd41d4d0d6faab81355b2aeb3504490beb9436bb7891e81135dca0, r)),
                        mulmod(x3, 0x02ab2ea59845c1d08850df50ab669fe3f37a252fab3bc5d60d32dc2706ab3e6d, r), r))
            }
            let lanes := add(table, 2816)
            mstore(lanes, 0)
            mstore(add(lanes, 32), a1)
            mstore(add(lanes, 64), a2)
            mstore(add(lanes, 96), a3)
            let ptr := table
            for { let end := add(table, 384) } lt(ptr, end) { ptr := add(ptr, 128) } { full(ptr, lanes) }
            last(ptr, lanes)
            {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let s0 := mload(lanes)
                let z1 := mload(add(lanes, 32))
                let z2 := mload(add(lanes, 64))
                let z3 := mload(add(lanes, 96))
                ptr := add(table, 1024)
                for { } lt(ptr, lanes) { ptr := add(ptr, 32) } {
                    let x := add(s0, mload(ptr))
                    q := mulmod(x, x, r)
                    x := mulmod(mulmod(q, q, r), x, r)
                    s0 := add(mulmod(x, 0x236d13393ef85cc48a351dd786dd7a1de5e39942296127fd87947223ae5108ad, r), z1)
                    let first := z1
                    z1 := addmod(z2, add(mulmod(first, 0x18a48ec8aaba990bd04bd52c1262d759873dbe617b8adf6c24c726d1d0e9e240, r),
                        mulmod(x, 0x2a72c2eb9cc6bd475fc9a3a37b6d76659f7e9b29c53a7e7bd8a53e63656fcb53, r)), r)
                    z2 := add(z3, add(mulmod(first, 0x29107eeef0f7d24e349501def45520461ba2df669259d3cbfc77c95d3904394e, r),
                        mulmod(x, 0x140a8cd4ff56ceca5fd8b2b0e681a6c325e0d37f9a2e92c48305567ea10fb254, r)))
                    z3 := add(mulmod(first, 0x0160199b9b14f6f35b84c5064e483c326db6d02a368fae85eb87c941354718b5, r),
                        mulmod(x, 0x25099e0c1669c000294ec9d369bd1129f0f7799d7c8bb9507ebfc7998ab61a67, r))
                }
                mstore(lanes, s0)
                mstore(add(lanes, 32), add(add(mulmod(z1, 0x25262bd6902f3ce854947be694e11596b9524b0fb970a0d1eeaa956a12dfc0fb, r),
                        mulmod(z2, 0x197a91759487a04cfec2bb21db44171bb0e6efd9e3054ebaa4126091aad46652, r)),
                        mulmod(z3, 0x15ce118b136ea24be92231ab266c24833fe5c28a9d765ab4021abcfc867e2c74, r)))
                mstore(add(lanes, 64), add(add(mulmod(z1, 0x0e421d9ae116224e9fb476320b3cf1d164ca992e934f38522a1989aea99a8240, r),
                        mulmod(z2, 0x10950810cbefd9aa5b587ebe87a2a4a8f2a8c697dbb8cc016ae731d800ff5383, r)),
                        mulmod(z3, 0x2d1062ab90245d1f61addc5a0aff87aa37156caf7b3edb9c4080e93fc64cc18b, r)))
                mstore(add(lanes, 96), add(add(mulmod(z1, 0x25d9f4d52b2f5344ffae0e8cd99846510012ace583eff4beb73d7798e112ccf9, r),
                        mulmod(z2, 0x2382cf6049dcdb2921f6c5855c2513bd15cc8b80fe0f8e02134b5309654e6eec, r)),
                        mulmod(z3, 0x24279e7c042af0eaac278bc78d59152a4e72ddd3fa33a4e77fed7b7dacfbb252, r)))
            }
            ptr := add(table, 512)
            for { let end := add(table, 1024) } lt(ptr, end) { ptr := add(ptr, 128) } { full(ptr, lanes) }
            digest := mod(mload(lanes), 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001)
        }
    }
}

/// Poseidon of 4 elements, each below r: what is not must not come here.
library PoseidonT5 {
    /// Puts the round constants into memory, and room for the lanes behind them; `hash` wants their address.
    function load() internal pure returns (uint256 table) {
        bytes memory constants =
            hex"0eb544fee2815dda7f53e29ccac98ed7d889bb4ebd47c3864f3c2bd81a6da891"
            hex"0554d736315b8662f02fdba7dd737fbca197aeb12ea64713ba733f28475128cb"
            hex"2f83b9df259b2b68bcd748056307c37754907df0c0fb0035f5087c58d5e8c2d4"
            hex"2ca70e2e8d7f39a12447ac83052451b461f15f8b41a75ef31915208f5aba9683"
            hex"1cb5f9319be6a45e91b04d7222271c94994196f12ed22c5d4ec719cb83ecfea9"
            hex"2eb4f99c69f966ebf8a42192de7ff61621c7bb47b93750c2b9ea08d18446c122"
            hex"224a28e5a35385a7c5198169e405d9ea0fc7da8b93ee13b6d5f7d099e299520e"
            hex"0f7411b465e600eed8afdd6afca49c3036f33ecbd9a0f97823796b993bbd82f7"
            hex"0f9d0d5aad2c9555a2be7150392d8d9819b208ae3370f99a0626f9ff5d90e4e3"
            hex"1e9a96dc8292bb596f52a59538d329229732b25259cf744b6a12d30702d6fba0"
            hex"08780514ccd90380887d578c45555e593cfe52eab4b945c6c2cd4d528fb3fe3c"
            hex"272498fced686c7ac8149fa3f73ef8c2ced64717e3556d5a59f119d629ccb5fc"
            hex"01ef8f9dd7c93aac4b7cb80930bd06eb45bd350aff585f10e3d0ef8a782ef7df"
            hex"045b9f59b6595e614dc08f222b469b138e886e64bf3c40aa97ea0ae754934d30"
            hex"0ac1e91c57d9da919fd6f59d2a40ff8ea3e41e24e247a387adf2584295d61c66"
            hex"028a1621a94054b0c7f9a421353cd89d0fd67061aee99979d12e68f04e62d134"
            hex"26b41802c071ea4c9632647ed059236e50c19c3fb3c96d09d02aae2a0dcd9dbc"
            hex"2fb5dda8072bb72cbaac2f63e468215e05c9de06758db6a94af34384aedb462b"
            hex"2212d3a0f5fccaf244ff3547fd823249ad8ab8ba2a18d383dd05c56ee894d850"
            hex"1b041ad5b2f0684258e4dfaeea09be56a3276fdb19f44c015cd0c7eed465e2e3"
            hex"125063ad821893043ac0a9607db015544523493016296da045a99638ec0d348d"
            hex"1374d180cbdf06f3f1bf189d3a79cce15e519b369ee528594dcd87e7dd5d0dde"
            hex"2d950d8443ed86b476bbb8274c33e9dfd9e391e4b92d52a4d09b111076a9ea6f"
            hex"031ca8713e84a4ff5523f892c05771dde5482834f4d806057bf4204c346efd19"
            hex"1c922a706055402e2a7678c0348561bfd11117596de5e53796915f61ef6d347d"
            hex"17c31ea02fbc378320d86ffed6c7ca1583b618c5c1a687818d4087a497d73490"
            hex"05b86c4bb8ef318b6a7227e4192d149d3c17a9764ccd660de4d50a77f192a91b"
            hex"265bc95df4a4c4876ff70d7ea2fde2c7ab15f4a6ae0d237cd6ce74ba986c7a7b"
            hex"24752b47bc6c6bc8d9bbe48f5fef2f6908701739c5f5b4b3d6c886d4715c7929"
            hex"14814a1e0f492a4ea0d86e527a96482178d624b98da96ee5e583b9324d974efe"
            hex"10def931073b6479bd60577378f29381997c8e041d3cfb3dc7523bca906f00bd"
            hex"14f7ae770bf7e95f7f706c0d8ab4ed03fa0b880d28c69d031b4592c98610175f"
            hex"1aef50a0cee751b59f926af40e8035d19decc9d428ebe4e775c5cc9dce1ce589"
            hex"041935607172f68eba65ca60068dfe3b086c2a2d57d09602951214b57e73cf5a"
            hex"26863e9dd24255d1573bd083959b856c0493fbefe83c819837a151d3bf452cb8"
            hex"2036efb6f9830965eb3d7a068bd087c9f5adf251ba62052c652738e63ff8b3af"
            hex"0c712a975b74dc9d766b639a029969ca30be4f75a753f854b00fa4f1b4f4ee9b"
            hex"08014dab3cd1667e27afc99bfac1e6807afdff6456492ca3375731d387539699"
            hex"198d07192db4fac2a82a4a79839d6a2b97c4dd4d37b4e8f3b53009f79b34e6a4"
            hex"29eb1de42a3ad381b23b4131426897a32709b29d53bb946dfd15784d1f63e572"
            hex"0a01776bb22f4b6b8eccff33e76fded3144fb7e3ac14e846a91e64afb1500eff"
            hex"09d8db1e10531681407aaf525e01aecfbbb0a20ee68b595a72b78cc72ce6a73e"
            hex"151efb27426ad51d3874abc4ce05faeb67758bb33760c644d8ab001b9941608b"
            hex"2cf5a51438538da9d608292c8a4ba4baf6f356706d9bfad6b96aa9c5ef38faa4"
            hex"14c074b8d3806789ee1642c41c4aa5ff2eb5e586aaf71676aede09c850cb3bbd"
            hex"1434eed9fd6ccfb679cae98d38fba1b3b34156948b47e020568dbe0182543960"
            hex"1a99e9ee433de4876d9cdf34d63216472288e9335e27e61c9f5d11b82e079ec7"
            hex"1d58137fe94a35e78bd29b738c804f92bface4c6815a8b144ec25941d1ebde74"
            hex"1bbefcec59b523c3fd35b2e3d323375b5a646afb65a0506f5d1ed45454e66016"
            hex"05323a5b7e5aa659e91b7f75adb0583b3f959e034e0e5a410248b788d2fbf362"
            hex"1e53285d3dbbb3a8d9a6d9791aa68cd402de6536b624c1f794bb7dd92d935dcc"
            hex"07fb892ef8f0ed888c90336b5a0926fb34cb96d7368d288fb477826d651f82f2"
            hex"0b515b464a837b928c030540ccd082861322cd4c56b5c112bb8efa6351402dec"
            hex"2c6ad0c9cb1810417ed6abcb6a84a60608651a1d9e6f30d323a1a0edea71c902"
            hex"12873d46d984c662165f19c232f05b381052b7d1f1ace004b4970f142c92c719"
            hex"3017c866411ce594a6c4f2010a0653340ac2c9c6107b5ab43c9e84a7a68d0a0a"
            hex"1ab3fc0f89372cee5ddb35a2ede99ca6e8172167c96a656cd72a683e3c4eee17"
            hex"20c3f011236970f8ec88afe462e3138d2eed726499e0c485de20eec8d1697f5b"
            hex"0298f303d47f472e0c5d0b410298320827b0a5ad8c66c5e6aa34de95669bbe1b"
            hex"208ac5eeacde932fb4302bc9f244899fe129d25234ab8cd22a836c5e71091424"
            hex"0f2ca813808c8469435d649edb0730ae33c2e86928cd086e4e33efd34950351e"
            hex"1520c64e5fb5c99a7b68e3e03cdbb90b2f59fe97898bc02cffa9de2e8e1da88c"
            hex"21a28ccdb1d042ec15fefbb498777aeb719b86be42f2608ec9bf4bc517b3cafc"
            hex"2cdae0355cdf1070275a3bdd9d7ab980dffdbb615a7ed86cd697c70a22a7cc05"
            hex"1d27a5e0293d22dcf7aaee1e6a67c3292f65e3480a4d9765c976b6c9be52b685"
            hex"2691be3ee1df97377a701b992d8eef4671272684a513b59d4cd36a09124b4a14"
            hex"146c4fa473f5428073fb5fa8cb65f1ac852c5f4402d185b25b999133056a6c2c"
            hex"00f5bdb573e15214433025064b3e17ff482eb98e28f55f2c634781e4de98b550"
            hex"2a238a6cb670408d1cf3482472eb7721f4f9b982853d7b33418a013e34daa266"
            hex"3019c8789ac42055c829293cada0a8fb56955dd7559e16c2f1c8e4024dc0ca2e"
            hex"2303beee75071614370ab3ec96b318a4b2c3ff4218417966ac656533023190df"
            hex"286aeec5c4030177d3b81814fbb0faa80fbee808e1206c0bded75dcbbb70aa85"
            hex"1587337ad03036c3b4d82f7cce42b8a7a5b8452e9d098954f29d08cd1f7864f3"
            hex"226c3b55657adacbc72c378cd9802aa4ff94298a6efcdc641a4da4530985ab9f"
            hex"255007cb4495b034ec1fbd8506ec2f26fa3f80ebcf3ec284a0f23147a5735166"
            hex"02d4133c9f09da5700555df45e8c82c87d1f4ec891b53bd0d9ebf21b6cce37e3"
            hex"109dba8937cbdfd914627fa0bba13a1508528cf4df56b0c07c23b51d09d127f6"
            hex"147936b3fd03ca1f1ddf9081c23ebad94bdd42c86c1c58316521b42f5482b23f"
            hex"1c31fbc9febc9ba157526d33fa411ebff9808868831bae843468de84d7e9331a"
            hex"18ecf5e6a035d1204fe5194b3c38fc00384fadd45acb9eef58b225642b491e05"
            hex"2fd1e44b644f4a07c9e30bb89885187683c3549e28774ad2ac080dc409be0b4a"
            hex"276339d9ad99aa77f8becf048f4512f96f4cf6948c3815d09ff6f3632eead0e2"
            hex"05ed1ff19f1a54e0d18bee962faab3a8f8f999f358514c7b3c50b1bc8f890a91"
            hex"23f7a8ce33fccf2f75395f46b1b2d6a51f72a62caea8b5aaa1f819db7a230b3c"
            hex"2767d9e8059193f2ecb8b77e12fe38dbd1430e43672a3b4ee73789c3b67d4233"
            hex"2805951a06db2531ad19fb97a85cfddc7654f1d663102e45742e4e13728550a4"
            hex"1edd84a843583eb4753d8670bf0cda7bbd690a54e756b231e040f0da20ba6b3c"
            hex"21cea290380518eef8f31162cf8624766526c28953fbc248301787c6a9bc082e"
            hex"041b116370212c62e6c621444681d5b37e8a8cd7027646a7a292d1bb2a8b884d"
            hex"01555fcdcf02d909cf1a95811bcd2c1823f1c24df281b1a16c68e789c6ed53ca"
            hex"1c06657b32ae9acf0a43176a46fc1d6b7a4cc3b66f3de49deb235694a89a93fd"
            hex"0d32adb776a343cf9b20a974fdc9e169cefec52aeaa4abcaeee770050b49cb13"
            hex"18ada57fba9608a3bbac607467d428f35da2d1c2a3055a20563fdffa845e362a"
            hex"0d3eba9b435e6ddd9ffb1e299ca3663cf14fe655f22866b1eef0e47f14fd271f"
            hex"02d000bc10e747aa5a27a1fb069f6f9680300001ddd7a74b94b86e89917f9259"
            hex"0d64bebe8571c4534fef423cde86c35b755bfb86e3110c6392ca4ed81d10f29b"
            hex"2dbbf275e85a4d0b6d0c7f95be54cbb86a0630bfc38c230cea833ca469729705"
            hex"260d6aa6f101e27922715e1ea1ab3b5ee9b2dcc2b1934f6233c97f6ce80e9119"
            hex"0d049af9615baa1daded16cc5bbdf17064cc6d134e2875c8da730c8875a371bf"
            hex"039e3bcd53336ceb3f3d1fbff42664a6a6c3a69d226e15d1afd921ee80f66cc0";
        assembly ("memory-safe") {
            table := add(constants, 32)
            mstore(0x40, add(mload(0x40), 160))
        }
    }

    /// The hash, below r.
    function hash(uint256 table, uint256 a1, uint256 a2, uint256 a3, uint256 a4) internal pure returns (uint256 digest) {
        assembly ("memory-safe") {
            function full(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                let x4 := add(mload(add(lanes, 128)), mload(add(ptr, 128)))
                q := mulmod(x4, x4, r)
                x4 := mulmod(mulmod(q, q, r), x4, r)
                mstore(add(lanes, 0), addmod(add(add(add(mulmod(x0, 0x251e7fdf99591080080b0af133b9e4369f22e57ace3cd7f64fc6fdbcf38d7da1, r),
                        mulmod(x1, 0x25fb50b65acf4fb047cbd3b1c17d97c7fe26ea9ca238d6e348550486e91c7765, r)),
                        mulmod(x2, 0x293d617d7da72102355f39ebf62f91b06deb5325f367a4556ea1e31ed5767833, r)),
                        mulmod(x3, 0x104d0295ab00c85e960111ac25da474366599e575a9b7edf6145f14ba6d3c1c4, r)),
                        mulmod(x4, 0x0aaa35e2c84baf117dea3e336cd96a39792b3813954fe9bf3ed5b90f2f69c977, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(mulmod(x0, 0x2a70b9f1d4bbccdbc03e17c1d1dcdb02052903dc6609ea6969f661b2eb74c839, r),
                        mulmod(x1, 0x281154651c921e746315a9934f1b8a1bba9f92ad8ef4b979115b8e2e991ccd7a, r)),
                        mulmod(x2, 0x28c2be2f8264f95f0b53c732134efa338ccd8fdb9ee2b45fb86a894f7db36c37, r)),
                        mulmod(x3, 0x21888041e6febd546d427c890b1883bb9b626d8cb4dc18dcc4ec8fa75e530a13, r)),
                        mulmod(x4, 0x14ddb5fada0171db80195b9592d8cf2be810930e3ea4574a350d65e2cbff4941, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(mulmod(x0, 0x2f69a7198e1fbcc7dea43265306a37ed55b91bff652ad69aa4fa8478970d401d, r),
                        mulmod(x1, 0x001c1edd62645b73ad931ab80e37bbb267ba312b34140e716d6a3747594d3052, r)),
                        mulmod(x2, 0x15b98ce93e47bc64ce2f2c96c69663c439c40c603049466fa7f9a4b228bfc32b, r)),
                        mulmod(x3, 0x12c7e2adfa524e5958f65be2fbac809fcba8458b28e44d9265051de33163cf9c, r)),
                        mulmod(x4, 0x2efc2b90d688134849018222e7b8922eaf67ce79816ef468531ec2de53bbd167, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(mulmod(x0, 0x0c3f050a6bf5af151981e55e3e1a29a13c3ffa4550bd2514f1afd6c5f721f830, r),
                        mulmod(x1, 0x0dec54e6dbf75205fa75ba7992bd34f08b2efe2ecd424a73eda7784320a1a36e, r)),
                        mulmod(x2, 0x1c482a25a729f5df20225815034b196098364a11f4d988fb7cc75cf32d8136fa, r)),
                        mulmod(x3, 0x2625ce48a7b39a4252732624e4ab94360812ac2fc9a14a5fb8b607ae9fd8514a, r)),
                        mulmod(x4, 0x07f017a7ebd56dd086f7cd4fd710c509ed7ef8e300b9a8bb9fb9f28af710251f, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(mulmod(x0, 0x2a20e3a4a0e57d92f97c9d6186c6c3ea7c5e55c20146259be2f78c2ccc2e3595, r),
                        mulmod(x1, 0x1049f8210566b51faafb1e9a5d63c0ee701673aed820d9c4403b01feb727a549, r)),
                        mulmod(x2, 0x02ecac687ef5b4b568002bd9d1b96b4bef357a69e3e86b5561b9299b82d69c8e, r)),
                        mulmod(x3, 0x2d3a1aea2e6d44466808f88c9ba903d3bdcb6b58ba40441ed4ebcf11bbe1e37b, r)),
                        mulmod(x4, 0x14074bb14c982c81c9ad171e4f35fe49b39c4a7a72dbb6d9c98d803bfed65e64, r), r))
            }
            function last(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                let x4 := add(mload(add(lanes, 128)), mload(add(ptr, 128)))
                q := mulmod(x4, x4, r)
                x4 := mulmod(mulmod(q, q, r), x4, r)
                mstore(add(lanes, 0), addmod(add(add(add(mulmod(x0, 0x251e7fdf99591080080b0af133b9e4369f22e57ace3cd7f64fc6fdbcf38d7da1, r),
                        mulmod(x1, 0x25fb50b65acf4fb047cbd3b1c17d97c7fe26ea9ca238d6e348550486e91c7765, r)),
                        mulmod(x2, 0x293d617d7da72102355f39ebf62f91b06deb5325f367a4556ea1e31ed5767833, r)),
                        mulmod(x3, 0x104d0295ab00c85e960111ac25da474366599e575a9b7edf6145f14ba6d3c1c4, r)),
                        mulmod(x4, 0x0aaa35e2c84baf117dea3e336cd96a39792b3813954fe9bf3ed5b90f2f69c977, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(mulmod(x0, 0x09fa487e7f5a0583903205ac467176e982991835de3fc7709778150adeff981e, r),
                        mulmod(x1, 0x08bdd77a1b245ee80f095b15e69f499486228d259e027b114e1578730c12ecb5, r)),
                        mulmod(x2, 0x27051769e1d35debbef78afd6f88fad906fcdb48e998f610387a8a90f5e817e5, r)),
                        mulmod(x3, 0x27c48a2d2154910cf0cfd5d06bb3712c46be3482a7427aca337f03072840a35d, r)),
                        mulmod(x4, 0x012eb22c968257f0affa5362a39bc5b4320476988b256e2ecbc57e92044df118, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(mulmod(x0, 0x05165212b2b7a3d682b543e7bf8ee28f2052a745f92d8389cce30e45ebb3ba01, r),
                        mulmod(x1, 0x2e28bd8f81b1eff7dabfcc956dd44162ca8c1f0499420bf080f275e59bfcc297, r)),
                        mulmod(x2, 0x05c6fa4f8854fbd3c2dae9edcfaf8098d61e0e9f1590b3118987390e0aef723d, r)),
                        mulmod(x3, 0x2f7e4159ecd771c61dfc2c8fd90309ea62fbb02584b08c043a618df77b2979af, r)),
                        mulmod(x4, 0x2a744e7d2313c41b62589449c4c5ea94f21a456d2394bdb7659130e7febd38ff, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(mulmod(x0, 0x13be2e849e96f3e0c545986d020d7162a30d006cde984ac35d80981faeb2c3fa, r),
                        mulmod(x1, 0x0288c6ee5b9bfa834232d53dd642c31709d028f242cd0833ee779131d7adbd37, r)),
                        mulmod(x2, 0x0a4db9c6bfa9aed775fdaca34147b5bbbfe6cf7c09f7cd33cf4f168e7466e8c0, r)),
                        mulmod(x3, 0x0cc0ee47976b8899805be19d48b734baa2f6ab41490cc0632fc6aff59da022d8, r)),
                        mulmod(x4, 0x0f3e3fcbc10fd30cd0bdf2e63cbb645253ed1d0158229a2c5b87f7a0aabe4cba, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(mulmod(x0, 0x1fffe92691906acdf003f576862ef37065eb858c5c3ac5fbbc5dd6443e1ceb9a, r),
                        mulmod(x1, 0x080203d39597da04a36b6a5ecfc78787435d4776db196f200b80db7aded37b40, r)),
                        mulmod(x2, 0x134a880ae7478968193e572b06dcf0a082520a512f8f3de4ea148e094a9a2b00, r)),
                        mulmod(x3, 0x10870503fe123ce15d3cc9484e7cb2765b9a12f6f02ebc98f01f2d2ad4008d16, r)),
                        mulmod(x4, 0x0b0b48802c2824c315f1fb2b5b9418398a9be311a9683e62dca121576372d941, r), r))
            }
            let lanes := add(table, 3200)
            mstore(lanes, 0)
            mstore(add(lanes, 32), a1)
            mstore(add(lanes, 64), a2)
            mstore(add(lanes, 96), a3)
            mstore(add(lanes, 128), a4)
            let ptr := table
            for { let end := add(table, 480) } lt(ptr, end) { ptr := add(ptr, 160) } { full(ptr, lanes) }
            last(ptr, lanes)
            {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let s0 := mload(lanes)
                let z1 := mload(add(lanes, 32))
                let z2 := mload(add(lanes, 64))
                let z3 := mload(add(lanes, 96))
                let z4 := mload(add(lanes, 128))
                ptr := add(table, 1280)
                for { } lt(ptr, lanes) { ptr := add(ptr, 32) } {
                    let x := add(s0, mload(ptr))
                    q := mulmod(x, x, r)
                    x := mulmod(mulmod(q, q, r), x, r)
                    s0 := add(mulmod(x, 0x251e7fdf99591080080b0af133b9e4369f22e57ace3cd7f64fc6fdbcf38d7da1, r), z1)
                    let first := z1
                    z1 := add(z2, add(mulmod(first, 0x172f5e628cc26149dcc488004690cfa55faac52708481fffb3d4cfa3808b4051, r),
                        mulmod(x, 0x09fa487e7f5a0583903205ac467176e982991835de3fc7709778150adeff981e, r)))
                    z2 := addmod(z3, add(mulmod(first, 0x2c01b6282fad3d37bdc72033b4d8da10494ac283ec74d5e63d72dbe06b4037c6, r),
                        mulmod(x, 0x05165212b2b7a3d682b543e7bf8ee28f2052a745f92d8389cce30e45ebb3ba01, r)), r)
                    z3 := add(z4, add(mulmod(first, 0x2503f642cfcb5f06e1a18c68efca3c0672ed26edfc7e6e77513ba7a4c660ab53, r),
                        mulmod(x, 0x13be2e849e96f3e0c545986d020d7162a30d006cde984ac35d80981faeb2c3fa, r)))
                    z4 := add(mulmod(first, 0x218796dd338868e7300732cf5d3925c74c1badd0a32d8b41b96e555ddfe27869, r),
                        mulmod(x, 0x1fffe92691906acdf003f576862ef37065eb858c5c3ac5fbbc5dd6443e1ceb9a, r))
                }
                mstore(lanes, s0)
                mstore(add(lanes, 32), add(add(add(mulmod(z1, 0x2d707e874df90edfc5d3be6bb0a7f248a59bd97802d577f6e02f7e3edbff2260, r),
                        mulmod(z2, 0x02eb4413c7cd427a38a61b1bf006e5840d7e160e38c27daeacd3477f34f251a6, r)),
                        mulmod(z3, 0x1e9c55968b09ebc5d2a2da375d3ab895041772fc9ddf42e70accb367ffad163d, r)),
                        mulmod(z4, 0x1f12303e4dd8134c80e541b3ee376b473431d852d368476d62ae591eb50c1fb4, r)))
                mstore(add(lanes, 64), add(add(add(mulmod(z1, 0x01f2d9f5b5fdee1801d13aaa606905eacc7e87c436465af59db5c340f6cde3d8, r),
                        mulmod(z2, 0x2690b69b83b04b9bc1e75da7d77f0f8001bbb1d29936ccbbe91a7299d39361d3, r)),
                        mulmod(z3, 0x2f207101f14cafb75383700d3d7d6ebb13549e655f1facf15327385a4644cda7, r)),
                        mulmod(z4, 0x0fc40f22a7b7a774910c71bf287ff5b975a731ec30832d7591467e660b5cd588, r)))
                mstore(add(lanes, 96), add(add(add(mulmod(z1, 0x073ec28b16fdc1927e5938d1edf08161cc6bfb783fae210446a5932954f92f5e, r),
                        mulmod(z2, 0x113963e436b7f9dc1ed1e1399f7fa28745b026ed052ee66a894199b913866cf6, r)),
                        mulmod(z3, 0x26d1f6ad1f8858afa873464578ceacb4ff11a9eeb46ab21332ebeec4d6246ee3, r)),
                        mulmod(z4, 0x2bd6d392fb461e926f841d5530a743db2dd62b3b756ce1684f4b36bd79976ee5, r)))
                mstore(add(lanes, 128), add(add(add(mulmod(z1, 0x05133b40257f30b65882a39e00f70240efe28e04048a97f4765b5f5383f3638d, r),
                        mulmod(z2, 0x0d36529f1141d624fdc84bb847347c76b5b0c31ea9f846b17846bf14881c1f95, r)),
                        mulmod(z3, 0x14618eec28c5f872102d4f71916b93eb975dafd0e6a2ed43316f2ae8ed6f262a, r)),
                        mulmod(z4, 0x269911f3cc7a4c7fe1a845decaed9552c83d692017c3e50d04a870cd5afb4e13, r)))
            }
            ptr := add(table, 640)
            for { let end := add(table, 1280) } lt(ptr, end) { ptr := add(ptr, 160) } { full(ptr, lanes) }
            digest := mod(mload(lanes), 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001)
        }
    }
}

/// Poseidon of 5 elements, each below r: what is not must not come here.
library PoseidonT6 {
    /// Puts the round constants into memory, and room for the lanes behind them; `hash` wants their address.
    function load() internal pure returns (uint256 table) {
        bytes memory constants =
            hex"1448614598e00f98e7ae7dea45fbd83bd968653ef8390cde2e86b706ad40c651"
            hex"0ab7b291388e5c9e43c0dc1f591fb83ecdb65022e1b70af43b8a7b40c1dff7c3"
            hex"2b7cbb217896f52c9a8c088e654af21e84cde754a3cef5b15c4d5466612d6adf"
            hex"2bc6b0ddbe1d701b6570428bdc1ca1bf0da59ff3bbbb95fc2bc71c0c6e67a65c"
            hex"123a55a31980384f3d20b2cecbc44ed60c38c11f7d20e9271efab9a905eefd3c"
            hex"037501cc8c9dc819309a769f4df098e588b01858bc8eb7e279e2883be9fb8c53"
            hex"1c2116e47e03a86bb11695b0a5f6dab6b9a460b1eb951ab01c259eca3fd47d51"
            hex"2c18213489032e85a9c8cb8e9a65839bfaed13e57bc0fae49dbdaebf54f56f93"
            hex"2ee8fed3d4d2c71a0429eafd8e5db1718f29e2227985fdf2ad8703c835b9e031"
            hex"28c64d8f5ed7aac004c92029d9e9bf91ba9436d1cce94b9316d111c70a0c1714"
            hex"18a01d9ffb747ae0de3e83c707f8b24f682c84f15abf571b34254a03478665e0"
            hex"1c21d92bef197e73b234e4777b60db14e642a56cee71515d54e1ac71cde72bd3"
            hex"0ad404ccbcb1e195897cb60c80981ebb9d66a6677dbbedad8b6455fe62d807b1"
            hex"0a9b6de833064f93b6adb99af6c005945cb654cb7bd14c8b97af8b60cc1fb387"
            hex"13129e3f930aed6d47690331ff09dc5160efa58ddce2c3e6180d45bec3aa3a6f"
            hex"0d7a614c8991508ab1ce4895813bb1c82f18bf7bfc9e280ccca18079839387f1"
            hex"0532f7ec36e30041b0486986875c913a49bddf2f5af5febe8c31f2f4094ffea5"
            hex"06bbcb8e8e180201293e712f4950f1b0bbee808c9d64263c84d9d8ae155cb892"
            hex"0f558a4db1a3ac07f61e2e6bee947f73586bf40f211ceb4f687ca5678a9dcb33"
            hex"2be140a60b5b5f2f8edd78a818a969b20c643e419bcf0b577c24a0d0e7acfe98"
            hex"1c49c4b9a9f09f7b9ad5f74ebacc710512b8e867bace27cb0dea06e89b96f631"
            hex"170c1a732721b12cde7f33e476a39a1aa77a81c06e2eac503847b00d597652db"
            hex"19c27d0e52f65ca34f4e31a068e49331c6bfc39d9241f9d4c302041615cf27f1"
            hex"2f1bdc5254f9220c1a731fc5276964dab26b385fa40b6b04bed9960e2543ba08"
            hex"18e60bdf40bfa6c3f2f641cdedb1d125aa1bf48a1fc6ca29fc1fdcf77716aad1"
            hex"20c23beb320a05d0caa84b45c69d5e6c74735bb753259bba9c44c2fb7bd8affa"
            hex"0d62aaf2398fca2276abef4ce6c6aabc3b844541fe6b5c747218948a90bc2e2f"
            hex"2d63d89510e2b77228628132e7f7d33a5b5a4f5a9be8c35762ff8665d0d28a5a"
            hex"0b95bf29f9682370c734ea3fac76dbf64b2ba70c0066cb7f0c31c0cc5571eb21"
            hex"21d15a0578a1a4dad8cb44a77068cc48053a27d371f73e23d123dbf6ff17910f"
            hex"02174f49edb02d5154d2beca2dc92b9cc595383da1fde8f09e4b5ee3ea5a065e"
            hex"0f64891c2c8b020e46c3594cb758f0bddcdbd09bd0308816fb41734a869872c3"
            hex"192a84ca2f99d36991e2d2b1deff3989d1c156c239e10e9f56140e1854576067"
            hex"29dfcd7b63f05abf2753a8c341d6b7a60c6243b04c9a1b8b3320bba04a4d4787"
            hex"1ee27ad6b9b5a867733afc61a2b3e76a52ba3e4bd5e657ade91fc038819dba5b"
            hex"0ab4773f150c3f8ad3bc9538f43cec395a7e3731ae973fefeb623a09217e64c7"
            hex"13c352a02f595186202cb0b99fa58c5542ab67f9b6d3a0afd103deeff6d80f41"
            hex"2a97cf2c10c4bfbfd299f67c52a169f92c05b7dac56a41c4dd4fe87c8246ce14"
            hex"00becbb47042bd7f8c9f6bb422162d1aed089a28482f7fd16ab06a13285fe702"
            hex"008e44da21d738691b881757ef37ed29c5bd9f7a4450fcf53290a92cc2ca2176"
            hex"2b205a8b6d4b7063d931f3bb5d3464053843fe7fbe4b83c17883f86527882a18"
            hex"2d9e32a7c90556fe108d255ac01e75df338fcd63b2bf84c19280d427298863fc"
            hex"29a322a84c25bd2ddf6e2e4200228d95abd6349a02266ac1dbba520738ceca97"
            hex"0678c9bfc6f2df012f4fe55e33bb68ac14ced1df0d02152792089d046d828c43"
            hex"0faff3a5e7425794fe20a7e0eb615b8b1760394b7f2304286a3ae4009124db23"
            hex"1f8f5b611af9feb9cea86c084058120553e404103aee213f5a41d1d02541c0d3"
            hex"160875d8479602f96f40acc2d042ee52c1588b6a29de4284965a6dc6c930ea07"
            hex"16d87a5183a316a1d70afc951efe2cd667c77328fcfda458cbf5fe3045f46d9e"
            hex"05b42d2fbccbf4d39d2be9339cabe9d0dc6d921e855cd91154b639d28d4a1cf0"
            hex"02a57ec597841b7af6bb2c15136d02dd3284ed95445ee5fb18c8c94c1fc12642"
            hex"2a5e087184dfb25ba6d5627b5b72c73cb9642bd570af6e035486254077315cf8"
            hex"20c1c5f8313fa7339a150138664988c27adc409527370e306cf1ac6638fc7ac2"
            hex"2d54d9d5ac04f5130f017588029427f9d82e8a9a55cabaa64b8cf36071ba5298"
            hex"1b48299e9aac042b5fe7a382730567759a9b4cba92f931b395c4c760b5376d67"
            hex"13c5df8c934479d17316546f9a28447464c87a224935518830493e7c280679d9"
            hex"2b6ed97d0659e356d7e3b026acb0c688cc27b260489196688d0cd5787af549db"
            hex"100d549f7e69393a119e8d65d614d761b6e70fc29fc8bfd1a0fe536a962985ff"
            hex"259ae53a9c98a3836dd45d757d3a728b65c898c32d4dabdd0079fe0134e70953"
            hex"184658bef5899e86519c1645bbe06c712d3fbaaecdf5072d6eafb0653ba8ac5b"
            hex"0d9b29ccd4f14175ca5aad76d44cd2b5d557f3199aadb650071b0aa6e80fd3eb"
            hex"130233d86e2f179f5cdbaaf7b7e67bbfb24ed7b9572b8a45c90140bcf0d18caf"
            hex"19301899b379d8648d56410e9a77e85c3ea7da3f276b424fbe301fdf6e924436"
            hex"18dc523eab2465bbee60aacf190f5dd5de09927aaf0f276a002fd9887fd4e047"
            hex"29f972bdb996981c25d4ac5743d81cf07b2be6a933148c5bfbb47ae73deaf213"
            hex"20b3a21dafb023941e2d39445a4c39e7fce2b7130b24e9abb64bff1c4b928dea"
            hex"0db5d6ef51635ebdb0a8d99240fe447399c7e7aace53be14c55699b18c870833"
            hex"0388351fc916a7f96871f2e78dac05d6dbc67b92fa92d5e4cc6042aaab2e3b78"
            hex"0dce204ff463be58372777ea1194ee74d54b0015119706810787acc52e8f58e0"
            hex"2e366c10c0e5096449960e8f0c4843ca8e3b35b64f0c4aa928e1d4adf1730d42"
            hex"14aa7a383350de3271e2cc2ce77d4070499786a2d0c2261afbb8762d7b575401"
            hex"253def0717c4a3046fbcfae38547107257ea7e6b7a060ed1990ae2b7c5d253b2"
            hex"08d522e9d831b5a1acc3f72c633798e4272dea3b1866b153381dab49040612e2"
            hex"29762c3acadf8ad7ebb4f1e6829bb5a934c601329f8e1d11f03c8c9469e4da32"
            hex"0cf0ff462256d7ac257d897ea858afd78311a899b1d8b7ffb2c56403e9f67c3f"
            hex"2d8bd5a193f01a6023e4d18dfa3f5583140282becd925b763fd874a6829bdc08"
            hex"105342c6d8ff2a2c89460046ceaffcf87e9edca08d55981091348b9735093265"
            hex"26e36ca28958b6be8db38d45a4be7f24724424ce515b8538ff5da1c0dbadccc5"
            hex"09df39a7947b44ae119139dcd929175be78185e664539c3b43c826f14e2e9bc7"
            hex"1f6840920d337ac2ebc04dbba388e9e95bdccfd90e26d9129b79612a24d96db7"
            hex"25c2790d7d94c1e2c71753d23e19818674648c435e50f1efb08c97364116226f"
            hex"129c19bc66372c6f050005b7f59df3f24d995a9700c1171e56148e8c890bc26c"
            hex"06302e0a9d3fee5b05e03d52d9f48df083261cdbac469165235a12b68d0120c6"
            hex"03f434c3ae6118516749f300c2057c304fa0b27953903ef7142c711e87c51540"
            hex"07759c05e52314d2ca911fbdf1cb2ce2bef47e496c77ad0c9826b2521949349d"
            hex"24a084e5fbbe3d9b7e003bb9ad177b01755ce7e5378a8b934b23eafe9c273f7b"
            hex"19bc6c8d09e10f91b1271effb722978063d58c5d7b7753beff806c14545aa206"
            hex"1df0cbb25ce3e97d538e75b7b7a71b2383f74622f8f40e0066898d9e383eda4a"
            hex"0ea9a19e365eddbc3f3be5389a70eb35364a003a83c87d60444603d2d9612b38"
            hex"00b3b601b74801b1c15f5d2df2d54db2eeae19e3a8abb8498ed2a086093e5357"
            hex"0ae15833e4f8b46b03201183501339a7c09a6a09a27ffc489c994b0df3768324"
            hex"0c4b91efcc1758392eb5566acc68ffad0d265eeb2f9004732d68e19e713b55f9"
            hex"2d16a37374a8f5387f56b0e0b0ed5462405fc6481c5b7397ac053bdbf033ba38"
            hex"20215f2e35364215a29a6a23c201efa57ef55797a7227935490e1f7b965dba4b"
            hex"1d363a2a4ba0c9c5910dab8aee6e153fc42be64f2e1ee20f1ecd55a94d5dce33"
            hex"0e39c4b9177d76efc777c30c50038a2b0e6aacf3f655a12f17d2e162e05e802c"
            hex"23eee395fc613a9edb2ca2aecbf6cb3d213f701395837d336053cb3540e714f3"
            hex"1cc34d4d6ff96c4904c17cf32e1adbecae22726c73ed4f9680b9da6205ecefd0"
            hex"0768a9f9b5dc3a9939b1c1209ac74f0520274b97fb689c864700c8b57d496a70"
            hex"2b6d8d1929ca88aefbd5347dff4937094138f407968cb90d13e54472e43354ed"
            hex"1b2e61b7ab48ece369f3d63e551b099e79afb01c52bd444ac899c19bdbd5e5e7"
            hex"18a9074b6fb9275e6168ba4b166a42d8cfacd46921db7ced5f2bc242b7cceedf"
            hex"2c69737d4c0c9edc94bb5133461d1237c83994fb6219497890d369bf159c432f"
            hex"27291b04a9d5ecd6fa18bdbb87b58a64cfb8c575d54f1ed469809807f3154bae"
            hex"185ab1c008c6d2fd5594860aa59fbec514f546a6e1a2aa3d561c8c1e5e19f721"
            hex"170ef28a1802bc5ce71537091d895989d26100d1e4086289fbd4e4f069462c9a"
            hex"0a581bc68219a9260302740cabbbdec06c946da5859cde180c68c83dca9f2613"
            hex"1af2fddfbc56f21ad21c7483070b8174bb3d0f383f3c2605d33a2d28eb7f6842"
            hex"0ddff45972431b0324203dded64f7aac309942b0cfce737f1502129a7d2e6401";
        assembly ("memory-safe") {
            table := add(constants, 32)
            mstore(0x40, add(mload(0x40), 192))
        }
    }

    /// The hash, below r.
    function hash(uint256 table, uint256 a1, uint256 a2, uint256 a3, uint256 a4, uint256 a5) internal pure returns (uint256 digest) {
        assembly ("memory-safe") {
            function full(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                let x4 := add(mload(add(lanes, 128)), mload(add(ptr, 128)))
                q := mulmod(x4, x4, r)
                x4 := mulmod(mulmod(q, q, r), x4, r)
                let x5 := add(mload(add(lanes, 160)), mload(add(ptr, 160)))
                q := mulmod(x5, x5, r)
                x5 := mulmod(mulmod(q, q, r), x5, r)
                mstore(add(lanes, 0), addmod(add(add(add(add(mulmod(x0, 0x124666f80561ed5916f2f070b1bd248c6d53f44d273d956a0c87b917692a4d18, r),
                        mulmod(x1, 0x11924f02fd19b09255aaa1cf46ea0518e3d7bfeef47421609491011db0bd0b02, r)),
                        mulmod(x2, 0x247fa7f022304a1994ff505456c2201ef9b717369498d3ffce446601ed9df845, r)),
                        mulmod(x3, 0x03fd7b19ef2c861f22f77ff810f54e277bc94eb76c02d79d986be3dcdf051c3f, r)),
                        mulmod(x4, 0x18bd41239c3e71579a677443ecffbd555a81eeeea69352a68b67c8563c0c2a06, r)),
                        mulmod(x5, 0x2d78c3a5d28de9ff35bf0a257635196e5730ca7f40493277078cd75da8b4ebdc, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(add(mulmod(x0, 0x0a514a5c227f4cec95dfa029e8dd124c34895aa46bb27c0911f3780d5015540a, r),
                        mulmod(x1, 0x192e16d17d956b257b85a652eefdf2ee09589eac5be80915775723d2cb1da06d, r)),
                        mulmod(x2, 0x298ce0c1e3113bb935c7058e7772b533b1aa9db0c0926bdc8917e5605ca3ac10, r)),
                        mulmod(x3, 0x094cb4e83621afd271e41bc71727f0158ebd612239ac9d698b17fe4be05b7fc8, r)),
                        mulmod(x4, 0x03d880395be93c27d649af5fd142e76b33918cb8841d5a28173bd5cf7d328791, r)),
                        mulmod(x5, 0x28eeae6b5866ad68e443bbaf91680db7d7e2b3037e38fef61b42cbccffceca81, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(add(mulmod(x0, 0x278bb49a7b4e44aea46eb0f882cb692801a6e60fdd5b5c23c63cd65ccce4fe0a, r),
                        mulmod(x1, 0x063edec1bed831f506af8db648d6fdea145345887e8bdcff109035a1d9b674d7, r)),
                        mulmod(x2, 0x1baef1cb5509b526a42061fb53657f99b3232500e855192cbe8c940e068c475f, r)),
                        mulmod(x3, 0x1324564ac7bdf9e22164e9858d7fa8e368b165eaea3daf4eb67ee59c0df2e5d4, r)),
                        mulmod(x4, 0x005761b8c6aecb1a8ca4ea4dfc2c8376064a4a8004ceeda210a55240562ddc13, r)),
                        mulmod(x5, 0x10c9e283159d58cb4cb2e35fde83a3ba1fdc28002ed9963d2a99f186178a148d, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(add(mulmod(x0, 0x0c399e9f67aa40707a203feefb0b958bbdadcec5ca34901d253d026a2419f6a2, r),
                        mulmod(x1, 0x083f0df3f1a0351d0330ec3ff602ca8cc353b7f6e762c7107184cd7b423449f6, r)),
                        mulmod(x2, 0x1a6764d5943fc4a720b4c0a19fdb8c711984307287a58b9b5f9f5d58212cb263, r)),
                        mulmod(x3, 0x011a63a26feabf87fa66bde66cc25a922c96382d76c6a7ff48f1537beaed683a, r)),
                        mulmod(x4, 0x08ca7b64657c3548f32bef5b63ad24288a41c0b251099ad27f9434307e3e64d4, r)),
                        mulmod(x5, 0x01998270471e9361955446b0cdb8bea915ec0675f1cd648ddcb04303507a4489, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(add(mulmod(x0, 0x1d6b3d5f6ea369c26f825d2362933eaa31ea35ec0a77c1fbd9e01ca1523e4432, r),
                        mulmod(x1, 0x119ef188bb3dd0d32306976c19941e8664be687e7a69692da27da215a6f06d40, r)),
                        mulmod(x2, 0x2d9e0ab5c06893dfdfd03481381ba86b6e6292df5609d71f2c64b2d9a79f809e, r)),
                        mulmod(x3, 0x25f16631bf77060f7ea34087c025bf135784319ef08cda2e31419ee0a529e658, r)),
                        mulmod(x4, 0x144c7a11da5a7c5dabae3f33fbd03cad86d18bc594c79a497ecb9894edb554f1, r)),
                        mulmod(x5, 0x0f971162627723f3feadacb28b0c104cb8f74de508752fa8d7c0db2af13de8ee, r), r))
                mstore(add(lanes, 160), addmod(add(add(add(add(mulmod(x0, 0x24be510095436206dd0abd0b0cbb95c883ab304aa52598b1a69306ec981a688d, r),
                        mulmod(x1, 0x211610e2ad4a377426fadf7068b0c1a6c299a164c1c1a603eaed944870d0b9b9, r)),
                        mulmod(x2, 0x15a67d981041b1f6f09f3f9ebefd864e779d3af08157786ac077505e50ec79fc, r)),
                        mulmod(x3, 0x049327fa79d28c12a2c82406947f77f06775b0287468b3136877701dbe7c9598, r)),
                        mulmod(x4, 0x230940dcc5232658ff9c29697a3fd416d170e8c998f1aa85dea0c42d79f951aa, r)),
                        mulmod(x5, 0x1b121c049cd1159e289007e0c9da9995cc4bab4c26fb888ec3972a8a2e656964, r), r))
            }
            function last(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                let x4 := add(mload(add(lanes, 128)), mload(add(ptr, 128)))
                q := mulmod(x4, x4, r)
                x4 := mulmod(mulmod(q, q, r), x4, r)
                let x5 := add(mload(add(lanes, 160)), mload(add(ptr, 160)))
                q := mulmod(x5, x5, r)
                x5 := mulmod(mulmod(q, q, r), x5, r)
                mstore(add(lanes, 0), addmod(add(add(add(add(mulmod(x0, 0x124666f80561ed5916f2f070b1bd248c6d53f44d273d956a0c87b917692a4d18, r),
                        mulmod(x1, 0x11924f02fd19b09255aaa1cf46ea0518e3d7bfeef47421609491011db0bd0b02, r)),
                        mulmod(x2, 0x247fa7f022304a1994ff505456c2201ef9b717369498d3ffce446601ed9df845, r)),
                        mulmod(x3, 0x03fd7b19ef2c861f22f77ff810f54e277bc94eb76c02d79d986be3dcdf051c3f, r)),
                        mulmod(x4, 0x18bd41239c3e71579a677443ecffbd555a81eeeea69352a68b67c8563c0c2a06, r)),
                        mulmod(x5, 0x2d78c3a5d28de9ff35bf0a257635196e5730ca7f40493277078cd75da8b4ebdc, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(add(mulmod(x0, 0x0888977f0006934b7480597c6322d466025ed4a4bf4514b504f6abf6950ccb50, r),
                        mulmod(x1, 0x01e6a0e3d1f4ab1f57390c6b64457a22e7a9076f48931e9d654d2e035df9e683, r)),
                        mulmod(x2, 0x1c3c321243e7ec15ec8775e8bd9e9bbeda4b437cf124fa16b894755db50e3840, r)),
                        mulmod(x3, 0x15cee2d56b91b8fb00bdadbb1883a3e5d77e1a48fdb68781fd99ba090a2e58cc, r)),
                        mulmod(x4, 0x15adee35833fffd47dd990899c7749776a30cbb0b1fb257d4e782ae61ab045c3, r)),
                        mulmod(x5, 0x300b7bbb5d733a31dc87540492a07e62796a54e1e24c2a737f540cf6afe51a7a, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(add(mulmod(x0, 0x29abefe912bda8005e870d46fff2096d43bf156b19bb3dda876a8ab7d08df0a3, r),
                        mulmod(x1, 0x2ee20433a9909d1e666e4fb8909cd70fa0f5c78e2b7b1985e06c45db28e092bf, r)),
                        mulmod(x2, 0x136f7bba9902ecf58284db43209f46549f0dd8accb7dbfe15eb4b0155bb2aea4, r)),
                        mulmod(x3, 0x0315f3ec06df19073d6f93288f81ee28fe8bd7038d69c7bc8d0fa82973ac3456, r)),
                        mulmod(x4, 0x240636e98f4f36235923622a2faf3b01692282ed82b58429919086520ccee77c, r)),
                        mulmod(x5, 0x17332352d9b239a7eb51369bf72037cb93e9f255a6827bdb31e704f0f9c40cd6, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(add(mulmod(x0, 0x15d96d9edf3f60a6517630eea5da336333e6083ce55bfb67db5bf9eb0bb547cf, r),
                        mulmod(x1, 0x05f6ecc5ad9309790ff732ad085df0e94a39d74b390677669576cc0ff2d99b21, r)),
                        mulmod(x2, 0x28c2d9059f4e278743fd9d5a52aa87704722f726e77815417ef1a3f3be5b0ccc, r)),
                        mulmod(x3, 0x067ac9ff0db29c73eb452b08712425cb2b81209d4a67fc0cbfb57cee856d6f85, r)),
                        mulmod(x4, 0x2657e99e31896453664039f6100bb0313bf56546722fce19b7791119f6d552ee, r)),
                        mulmod(x5, 0x2dd2f353b9826fc89b0465478e8017d912a759f53987a4f389c97c858beccaaf, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(add(mulmod(x0, 0x19fd7369a1cec25617d27c14912f4b47a65327df5f40f69964e2bbc38578bcd8, r),
                        mulmod(x1, 0x0ccaa8f370c1aeacf62e01a78dbea41a9e9ad2bf7e75cea4f3943688323f3b22, r)),
                        mulmod(x2, 0x13624d333521604acff6a07e92ab4c4e056a55f0b6963662b56f1a04b7159834, r)),
                        mulmod(x3, 0x2084391a9c0020cab45e226daea00708a69b007efbfdb7bc4fe001a617bd6c74, r)),
                        mulmod(x4, 0x008e2bb7011d91183e631f85ba2f09e2acd2047f1a19208834e47cb7221dcb67, r)),
                        mulmod(x5, 0x099ee0f76124e68e9c3c8b076df8f89359df61fe64074a9ee612c4aca0c41b70, r), r))
                mstore(add(lanes, 160), addmod(add(add(add(add(mulmod(x0, 0x24fc59446c719fce095293450bb189449814283755821f2eb46c1e119d787c94, r),
                        mulmod(x1, 0x15fd345132e785155c7f8cb42a4646d9d9a13056465e96333d06507ae63999ee, r)),
                        mulmod(x2, 0x0ae2c1924d2fbcb9968b14351ac0e25585a6c23fb2c5f022c954d38d0b8d48e9, r)),
                        mulmod(x3, 0x03ed0035fdd106450e7ce744f3919681808760fec8a6c1105d8eb59283992a62, r)),
                        mulmod(x4, 0x277404872c855942b86629c1ed51ad83590b08d7f421b63d85eb1e8e5571927a, r)),
                        mulmod(x5, 0x1dcbbf863d211ca0b6be2dd9ab5ce1dd6dc55220b568c574e4fe0bd53a5eb1a1, r), r))
            }
            let lanes := add(table, 3456)
            mstore(lanes, 0)
            mstore(add(lanes, 32), a1)
            mstore(add(lanes, 64), a2)
            mstore(add(lanes, 96), a3)
            mstore(add(lanes, 128), a4)
            mstore(add(lanes, 160), a5)
            let ptr := table
            for { let end := add(table, 576) } lt(ptr, end) { ptr := add(ptr, 192) } { full(ptr, lanes) }
            last(ptr, lanes)
            {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let s0 := mload(lanes)
                let z1 := mload(add(lanes, 32))
                let z2 := mload(add(lanes, 64))
                let z3 := mload(add(lanes, 96))
                let z4 := mload(add(lanes, 128))
                let z5 := mload(add(lanes, 160))
                ptr := add(table, 1536)
                for { } lt(ptr, lanes) { ptr := add(ptr, 32) } {
                    let x := add(s0, mload(ptr))
                    q := mulmod(x, x, r)
                    x := mulmod(mulmod(q, q, r), x, r)
                    s0 := add(mulmod(x, 0x124666f80561ed5916f2f070b1bd248c6d53f44d273d956a0c87b917692a4d18, r), z1)
                    let first := z1
                    z1 := addmod(z2, add(mulmod(first, 0x048d656ff752317c7daa81dc71cdf2a2ebc7625b83540bf73973e353f8b20e59, r),
                        mulmod(x, 0x0888977f0006934b7480597c6322d466025ed4a4bf4514b504f6abf6950ccb50, r)), r)
                    z2 := add(z3, add(mulmod(first, 0x0aee0cb0c04f6f3154ccc3780f2d33159778d1242b86da2aea6bcfd6826b3231, r),
                        mulmod(x, 0x29abefe912bda8005e870d46fff2096d43bf156b19bb3dda876a8ab7d08df0a3, r)))
                    z3 := addmod(z4, add(mulmod(first, 0x071ac0347528ff3a1cf815daea4daf474fa434ecdcf804c79793736dfe4724b4, r),
                        mulmod(x, 0x15d96d9edf3f60a6517630eea5da336333e6083ce55bfb67db5bf9eb0bb547cf, r)), r)
                    z4 := add(z5, add(mulmod(first, 0x21b5a06b924325638c204d23ae36412555e5e130635ecec149c77c4b4837a30c, r),
                        mulmod(x, 0x19fd7369a1cec25617d27c14912f4b47a65327df5f40f69964e2bbc38578bcd8, r)))
                    z5 := add(mulmod(first, 0x2af7059dfc198e0e980492115fd669de6858e9aa723d17cb62c043b2ce612e09, r),
                        mulmod(x, 0x24fc59446c719fce095293450bb189449814283755821f2eb46c1e119d787c94, r))
                }
                mstore(lanes, s0)
                mstore(add(lanes, 32), addmod(add(add(add(mulmod(z1, 0x038bf4a147a96c2d4a11ee53ae7dff556336ac1d94f425dafe8e5f7a3824055a, r),
                        mulmod(z2, 0x119ad355b33078c1b7434ca3f7200f0e5e586b8bfd813cd1c9d75a7a2d4f8a5e, r)),
                        mulmod(z3, 0x14985f6f7132ff64610b802482162e679b206be055dc6b35adeb9bfa2518c28e, r)),
                        mulmod(z4, 0x01c192cc267fbcd57b3aa562ade517daeff4fb5744d8d1c7081a053f370aeb3a, r)),
                        mulmod(z5, 0x14eba1cb0893db991adf09e4335799a06431d9511eadb5c3ce0611815b93057d, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(mulmod(z1, 0x14fc6d005ec4e7ebc7698f05559c690723d184eb27c065776a036494fda0248c, r),
                        mulmod(z2, 0x092907be837cfbf232396ace390bb5139eb63b66ade326b44a7e9890107c7dca, r)),
                        mulmod(z3, 0x2f5f1021ca468355762d7054ed95f20e13e1ca7f30ec0d5749f22c61a37f5c1d, r)),
                        mulmod(z4, 0x2401d05c99e515be6097e5b6f8fcde2ec8d32353ad0497a5080f9dc6cc247175, r)),
                        mulmod(z5, 0x0a03aa095a8b13967ccb34638045aa88cd290ff84d1a3602ff535d313f3d38dc, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(mulmod(z1, 0x1a988de7436d85a4d7c6025a5af8743fc0a6f8eac6418ce0668daa4f90aa99d3, r),
                        mulmod(z2, 0x10945fea56ab8250dc31f34fa19c512ab77efc468a74c2b2cfd855761f933ecf, r)),
                        mulmod(z3, 0x1ec220677dab608a82c617f63d941b93ba010d85a22345a3dd70a71609613935, r)),
                        mulmod(z4, 0x2ae187ce284d6a4977a28dba92a139638cfdfa6f752b5c214b47ebfd71b37b61, r)),
                        mulmod(z5, 0x28034fdcb7dd524533cf87f2f0091fce5540baf4e587b41b8a85cc9503cfc30f, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(mulmod(z1, 0x2a0473c10ad6c3c58913cbaf35fc724dda9a195a9595824d4eee6753c325eb77, r),
                        mulmod(z2, 0x093bf8b999d945348fef7ede11506e59750511e7bc93b9e2ddd8be3de7b35fa8, r)),
                        mulmod(z3, 0x2de8477304961374ee88f457ae83376788f0688eccb19c2342df16297f9d1409, r)),
                        mulmod(z4, 0x2c00eae51b1b6103e426f8b6052d1efe1b87e11f9584a7bc421a45db86df422e, r)),
                        mulmod(z5, 0x13188dfd1203162cc566babbe0931e22f4dd78ea3c4a1cb9d25d0d06d96de75d, r), r))
                mstore(add(lanes, 160), addmod(add(add(add(mulmod(z1, 0x2c40136e54d1a2dae4eb809adf6d61e1722d0b29367e0b2bc3e536c2dfe02e5f, r),
                        mulmod(z2, 0x1f368062ffbd7ca9b7932591ebf9f76d74767dc68c6d6dc14657a319d483793f, r)),
                        mulmod(z3, 0x268d3bad99968e3510e549a1024b3199073ad02117af08218216e341fa691700, r)),
                        mulmod(z4, 0x23cce09c1fc738253bd0a458b331d4a6950ffd02feb50e1f267cbd0e1720134f, r)),
                        mulmod(z5, 0x212556774c4f183c622b310ba0010d8a17c5e3f73350704675ce69b3b331480e, r), r))
            }
            ptr := add(table, 768)
            for { let end := add(table, 1536) } lt(ptr, end) { ptr := add(ptr, 192) } { full(ptr, lanes) }
            digest := mod(mload(lanes), 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001)
        }
    }
}
