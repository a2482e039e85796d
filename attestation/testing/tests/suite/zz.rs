use crate::support::*; use attestation_testing::AcceptedCase;
#[test]
fn exhaustive() {
    let case = AcceptedCase::new(pki());
    let doc = case.document();
    let mut bad = vec![];
    for which in 0..4 {
        let n = { let e=&doc.endorsements; match which {0=>e.vek.0.len(),1=>e.intermediate.0.len(),2=>e.root.0.len(),_=>e.crl.as_ref().unwrap().0.len()} };
        for at in 0..n { for delta in [1u8,2,4,8,16,32,64,128,0xff] {
            let mut d = doc.clone(); let e=&mut d.endorsements;
            let b = match which {0=>&mut e.vek.0,1=>&mut e.intermediate.0,2=>&mut e.root.0,_=>&mut e.crl.as_mut().unwrap().0};
            b[at]^=delta;
            if code(&appraise_document(&case,&d,&demo_policy()))=="ok" { bad.push((which,at,delta)); }
        }}
    }
    panic!("{bad:?}");
}
